package hostile

import (
	"fmt"
	"strings"
	"testing"
)

func settingsLines() []line {
	return []line{
		{number: 89, place: "/templates", says: "a key that is taken: 409; braces that are no placeholder, 201 placeholders: 400", tries: badTemplates},
		{number: 90, place: "/provider-configs", says: "private hosts, other ports, schemes, types, sizes: 400, nothing dialled", before: everything, tries: badProviders,
			differs: "a private literal is refused as invalid_config with the field's reason, as every wrong field is"},
		{number: 91, place: "/suppressions", says: "a wrong pair, no filter, a wildcard: 400; case and + are normalised", before: func(t *testing.T, a *tenant) {
			a.do(t, "POST", "/api/v1/suppressions", `{"channel":"SMS","address":"233241234569"}`)
			a.do(t, "POST", "/api/v1/suppressions", `{"channel":"EMAIL","address":"Ama@Example.com"}`)
		}, tries: badSuppressions, scene: normalised},
		{number: 92, place: "/provision/apps", says: "no key, a wrong one, another header: 401; slugs, rates, scopes, webhook addresses: 400", tries: badProvisioning},
	}
}

func badTemplates(_ *testing.T, a *tenant) (out []try) {
	const url = "/api/v1/templates"
	add := func(body string, status int, code string) {
		out = append(out, a.post(url, body, status, code), a.post(url, spaced().write(parse(body)), status, code), a.post(url, escaped().write(parse(body)), status, code))
	}
	for _, key := range []string{"proto", "mail"} {
		add(`{"key":"`+key+`","channel":"SMS","body":"x"}`, 409, "template_key_taken")
		add(`{"key":"`+key+`","channel":"EMAIL","subject":"s","body":"x"}`, 409, "template_key_taken")
	}
	braces := []string{"{{", "{{a", "{{}}", "{{ }}", "{{a.b}}", "{{#if}}", "{{#if a}}x{{/if}}", "{{> x}}", "{{{a}}}", "{{a b}}", "{{a|upper}}", "{{a()}}", "{{$a}}", "{{.A}}", "{{env \"PATH\"}}", "{{a[0]}}", "{{../a}}", "{{!-- x --}}", "{{a\n}}{{", "{{é}}",
		strings.Repeat("{{a}}", 201)}
	for _, text := range braces {
		add(`{"key":"k","channel":"SMS","body":`+quoted(text)+`}`, 400, "invalid_template")
		add(`{"key":"k","channel":"EMAIL","subject":`+quoted(text)+`,"body":"x"}`, 400, "")
		out = append(out, a.call("PATCH", url+"/"+a.things["templates"], `{"body":`+quoted(text)+`}`, 400, "invalid_template"))
	}
	for _, key := range []string{"../x", "a b", "", strings.Repeat("k", 300), "a/b", "é", "a\u0000"} {
		add(`{"key":`+quoted(key)+`,"channel":"SMS","body":"x"}`, 400, "invalid_template_key")
	}
	add(`{"key":"k","channel":"SMS"}`, 400, "body_required")
	add(`{"key":"k","channel":"EMAIL","body":"x"}`, 400, "subject_required")
	add(`{"key":"k","channel":"SMS","body":"x","subject":"s"}`, 400, "field_not_allowed")
	add(`{"key":"k","channel":"SMS","body":"x","version":2}`, 400, "unknown_field")
	out = append(out, a.post(url, `{"key":"k","channel":"EMAIL","subject":"s","body":"`+strings.Repeat("x", 257<<10)+`"}`, 400, "too_long"))
	for n, text := range []string{"{{ a }}", "{{a}}{{ a}}{{b }}", strings.Repeat("{{a}}", 200), "{a}", "a } b", "100 %"} {
		out = append(out, a.post(url, fmt.Sprintf(`{"key":"ok%d","channel":"SMS","body":%s}`, n, quoted(text)), 201, ""))
	}
	return out
}

func badProviders(_ *testing.T, a *tenant) (out []try) {
	const url = "/api/v1/provider-configs"
	add := func(body string) {
		out = append(out, a.post(url, body, 400, ""), a.post(url, spaced().write(parse(body)), 400, ""), a.post(url, reversed().write(parse(body)), 400, ""))
		admin := try{name: "of the server", request: request{method: "POST", path: "/api/admin/provider-configs", header: with(jsonType(), map[string]string{"X-Admin-Key": adminKey}), body: []byte(body)}, status: 400}
		out = append(out, admin)
	}
	smtp := func(config string) string { return `{"providerType":"SMTP","config":` + config + `}` }
	for _, host := range []string{"127.0.0.1", "169.254.169.254", "metadata.google.internal", "[::ffff:10.0.0.1]", "::1", "[::1]", "localhost", "LOCALHOST", "localhost.", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0", "0x7f.1", "2130706433", "127.1", "0177.0.0.1", "fd00:ec2::254", "100.100.100.200",
		"[fe80::1%25eth0]", "64:ff9b::7f00:1", "a b", "", "mail.example.com\r\nQUIT", "mail.example.com:25", "http://mail.example.com", "user@mail.example.com", "mail..example.com", "１２７.0.0.1", "127。0。0。1", "metadata.google.internal."} {
		add(smtp(`{"host":` + quoted(host) + `}`))
		out = append(out, a.call("PATCH", url+"/"+a.things["provider-configs"], `{"config":{"host":`+quoted(host)+`}}`, 400, ""))
	}
	for _, port := range []string{"22", "0", "-1", "65536", "99999", "587.5", `"587"`, "3306", "5432", "6379", "11211", "80", "443", "null0"[:0] + "true", "[]"} {
		add(smtp(`{"host":"mail.example.com","port":` + port + `}`))
	}
	for _, base := range []string{"file:///etc/passwd", "gopher://example.com/", "http://example.com/", "https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1:443/", "ftp://example.com/", "javascript:alert(1)", "data:text/plain,x", "//example.com", "https://u:p@example.com/", "https://example.com:22/", "https://example.com/#x",
		"https://example.com/?x=1", "https://169.254.169.254/latest", "https://metadata.google.internal/", "https://10.0.0.1#@good.com/", "https://good.com@10.0.0.1/", "https://good.com\\@10.0.0.1/", "unix:///x", "dict://example.com:11211/", "https://", "x", "https://2130706433/", "https://127.1/"} {
		add(`{"providerType":"HUBTEL","config":{"clientId":"a","clientSecret":"b","baseUrl":` + quoted(base) + `}}`)
	}
	good := `{"host":"mail.example.com"}`
	for _, more := range []string{`"priority":-1`, `"priority":1.5`, `"priority":"1"`, `"priority":1000001`, `"priority":null`, `"name":""`, `"name":"a\nb"`, `"isActive":"yes"`, `"ratePerSecond":-1`, `"ratePerDay":1.5`, `"maxConcurrency":"1"`, `"pinned":1`, `"appId":"c"`, `"id":"c"`} {
		add(`{"providerType":"SMTP","config":` + good + `,` + more + `}`)
	}
	for _, kind := range []string{`"NOPE"`, `"smtp"`, `""`, "null", "1", "[]", `"SMTP "`, `"../SMTP"`} {
		add(`{"providerType":` + kind + `,"config":` + good + `}`)
	}
	for _, config := range []string{`"mail.example.com"`, "null", "[]", "1", "{}", `{"host":"mail.example.com","nope":1}`, `{"host":null}`, `{"host":1}`, `{"host":"mail.example.com","secure":"yes"}`, `{"host":"mail.example.com","from":"x"}`, `{"host":"mail.example.com","from":"a@x.com\r\nBcc: b@y.com"}`,
		`{"host":"mail.example.com","username":"a\u0000"}`} {
		add(smtp(config))
	}
	return append(out, a.post(url, smtp(`{"host":"mail.example.com","password":"`+strings.Repeat("p", 100_000)+`"}`), 400, "invalid_config"))
}

func badSuppressions(_ *testing.T, a *tenant) (out []try) {
	const url = "/api/v1/suppressions"
	for body, code := range map[string]string{
		`{"channel":"SMS","address":"ama@example.com"}`: "invalid_address", `{"channel":"EMAIL","address":"233241234567"}`: "invalid_address", `{"channel":"EMAIL","address":"*"}`: "invalid_address", `{"channel":"EMAIL","address":"*@*"}`: "", `{"channel":"EMAIL","address":"*@example.com"}`: "invalid_address",
		`{"channel":"EMAIL","address":"*@"}`: "invalid_address", `{"channel":"SMS","address":"*"}`: "invalid_address", `{"channel":"SMS","address":"23324%"}`: "invalid_address", `{"channel":"SMS","address":""}`: "invalid_address", `{"channel":"SMS"}`: "invalid_address", `{"channel":"SMS","address":null}`: "invalid_address",
		`{"channel":"SMS","address":233241234568}`: "invalid_address", `{"address":"233241234568"}`: "invalid_channel", `{"channel":"PUSH","address":"233241234568"}`: "invalid_channel", `{"channel":"SMS","address":"233241234568","reason":"because"}`: "invalid_field", `{"channel":"SMS","address":"233241234568","note":"a\u0007"}`: "invalid_field",
		`{"channel":"SMS","address":"233241234568","note":"` + strings.Repeat("x", 201) + `"}`: "invalid_field", `{"channel":"SMS","address":"233241234568","source":"provider"}`: "unknown_field", `{"channel":"EMAIL","address":"a@x.com,b@y.com"}`: "",
	} {
		out = append(out, a.post(url, body, 400, code), a.post(url, spaced().write(parse(body)), 400, code), a.post(url, escaped().write(parse(body)), 400, code))
	}
	out = append(out, a.post(url, `{"channel":"EMAIL","address":"`+strings.Repeat("a", 900_000)+`@b.c"}`, 400, "invalid_address"), a.post(url, `{"channel":"EMAIL","address":"`+strings.Repeat("a", 1<<20)+`@b.c"}`, 413, "body_too_large"))
	for _, query := range []string{"", "?", "?channel=SMS", "?channel=EMAIL", "?address=233241234569", "?channel=&address=", "?channel=SMS&address=", "?channel=SMS&address=*", "?channel=SMS&address=%25", "?channel=SMS&address=_", "?channel=EMAIL&address=233241234569", "?channel=SMS&address=ama@example.com", "?channel=EMAIL&address=*@example.com",
		"?channel=SMS&address=233241234569&address=233241234568", "?channel=SMS&address=233241234569&all=true", "?channel=sms&address=233241234569", "?channel=SMS&channel=SMS&address=233241234569", "?address=233241234569&channel=*", "?channel=SMS&address=%00", "?channel=SMS&address=233241234569;channel=EMAIL"} {
		out = append(out, a.call("DELETE", url+query, "", 400, ""))
	}
	for _, query := range []string{"?reason=because", "?address=", "?address=*", "?to=1", "?address=233241234569&address=233241234569"} {
		out = append(out, a.call("GET", url+query, "", 400, ""))
	}
	return append(out, a.call("DELETE", url+"?channel=SMS&address=233241234560", "", 404, "not_found"))
}

// normalised takes entries off by other forms of their addresses.
func normalised(t *testing.T, a *tenant) int {
	for _, query := range []string{"?channel=SMS&address=%2B233241234569", "?channel=EMAIL&address=AMA@eXample.com"} {
		if got := a.do(t, "DELETE", "/api/v1/suppressions"+query, ""); got.status != 204 || len(got.raw) != 0 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	return 0
}

func badProvisioning(_ *testing.T, _ *tenant) (out []try) {
	const url = "/api/provision/apps"
	good := `{"name":"X","slug":"never-made"}`
	for _, header := range []map[string]string{{}, {"X-Provisioning-Key": "wrong"}, {"X-Provisioning-Key": ""}, {"X-API-Key": provisioningKey}, {"Authorization": "Bearer " + provisioningKey}, {"X-Admin-Key": adminKey}, {"X-Provisioning-Key": adminKey}, {"X-Provisioning-Key": provisioningKey[:20]},
		{"X-Provisioning-Key": provisioningKey + "x"}, {"X-Provisioning-Key": strings.ToUpper(provisioningKey)}, {"X-Admin-Key": provisioningKey}} {
		out = append(out, try{name: "header", request: request{method: "POST", path: url, header: with(header, jsonType()), body: []byte(good)}, status: 401, code: "unauthenticated"},
			try{name: "query", request: request{method: "POST", path: url + "?key=" + provisioningKey, header: with(header, jsonType()), body: []byte(good)}, status: 401, code: "unauthenticated"})
	}
	base := []string{"name", `"X"`, "slug", `"never-made"`}
	add := func(members ...string) {
		tree := parse(overlay(base, members))
		for _, s := range []style{plain(), spaced(), escaped(), reversed()} {
			for _, door := range []struct {
				url    string
				header map[string]string
			}{{url, map[string]string{"X-Provisioning-Key": provisioningKey}}, {"/api/admin/apps", map[string]string{"X-Admin-Key": adminKey}}} {
				out = append(out, try{name: "body", request: request{method: "POST", path: door.url, header: with(door.header, jsonType()), body: []byte(s.write(tree))}, status: 400})
			}
		}
	}
	for _, slug := range append(quotes("Flow Base", "..", "admin", strings.Repeat("a", 100), "-a", "a-", "a--b", "", " ", "a", "FLOWBASE", "flow_base", "flöw", "a/b", "a\u0000b", "c0123456789abcdefghijklmn", "api", "console", "'; DROP TABLE apps;--"), "null", "1", "[]", "-") {
		add("slug", slug)
	}
	for _, rate := range []string{"0", "-1", "1e12", "1000001", `"5"`, "1.5", "[]", "true"} {
		add("ratePerMinute", rate)
	}
	for _, scopes := range []string{`["ROOT"]`, "[]", `"SEND"`, `["send"]`, `["SEND","ROOT"]`, `[1]`, `[null]`, `["*"]`, `[""]`} {
		add("scopes", scopes)
	}
	for _, hook := range quotes("https://10.0.0.1/x", "https://127.0.0.1/", "http://example.com/x", "file:///etc/passwd", "https://u:p@example.com/", "https://localhost/", "https://[::1]/", "https://169.254.169.254/", "https://example.com:22/", "https://example.com/#a", "https://metadata.google.internal/", "x", "https://", "javascript:alert(1)") {
		add("webhookUrl", hook)
	}
	add("webhookUrl", `"https://example.com/"`, "webhookSecret", `"short"`)
	add("webhookUrl", `"https://example.com/"`, "webhookSecret", quoted(strings.Repeat("s", 201)))
	for _, name := range append(quotes("", " ", " x", "a\nb", "a\u0000", strings.Repeat("n", 300)), "null", "1", "-") {
		add("name", name)
	}
	add("id", `"c"`)
	add("isActive", "false")
	return out
}
