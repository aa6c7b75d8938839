package docsite

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/openapi"
)

// curl is a call of an operation as a reader would type it: with what it requires, and the first body
// of the contract that is answered well.
func curl(o openapi.Operation) string {
	path, query := o.Path, url.Values{}
	for _, p := range o.Parameters() {
		name, _ := p["name"].(string)
		switch {
		case p["in"] == "path":
			path = strings.ReplaceAll(path, "{"+name+"}", "$"+strings.ToUpper(name))
		case p["in"] == "query" && (p["required"] == true || o.Path == "/api/admin/suppressions" && name == "address"): // there one of two is required
			query.Set(name, sampleOf(name))
		}
	}
	address := "$COMMS_URL" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	call := "curl "
	if o.Method != "GET" {
		call += "-X " + o.Method + " "
	}
	parts := []string{call + `"` + address + `"`}
	parts = append(parts, credentials(o)...)
	if kind, body := sampleBody(o); kind != "" {
		parts = append(parts, `-H "Content-Type: `+kind+`"`, "-d '"+strings.ReplaceAll(body, "'", `'\''`)+"'")
	}
	return strings.Join(parts, " \\\n  ")
}

func credentials(o openapi.Operation) []string {
	switch who := needs(o); {
	case strings.HasPrefix(who, "app's"):
		return []string{`-H "X-App-ID: $COMMS_APP_ID"`, `-H "X-API-Key: $COMMS_API_KEY"`}
	case who == "admin key":
		return []string{`-H "X-Admin-Key: $COMMS_ADMIN_KEY"`}
	case who == "provisioning key":
		return []string{`-H "X-Provisioning-Key: $COMMS_PROVISIONING_KEY"`}
	}
	return nil
}

// sampleOf is a value for a parameter that has to be given.
func sampleOf(name string) string {
	switch name {
	case "channel":
		return "SMS"
	case "address", "to":
		return "233241234567"
	}
	return "your-app-slug" // confirm, of an app's deletion
}

// sampleBody is the body that the contract's first good example has.
func sampleBody(o openapi.Operation) (kind, body string) {
	content := openapi.Dig(o.Doc, "requestBody", "content")
	examples := openapi.Dig(content, "application/json", "examples")
	for _, name := range slices.Sorted(maps.Keys(examples)) {
		example := openapi.Dig(examples, name)
		if status := fmt.Sprint(example["x-status"]); !strings.HasPrefix(status, "2") {
			continue
		}
		raw, err := json.MarshalIndent(example["value"], "", "  ")
		if err == nil && (body == "" || len(raw) < len(body)) {
			kind, body = "application/json", unescape(string(raw))
		}
	}
	if body == "" && openapi.Dig(content, "text/csv") != nil {
		return "text/csv", "channel,address,reason\nSMS,233241234567,unsubscribed\n"
	}
	return kind, body
}

// unescape shows the characters that json.Marshal hides from HTML.
func unescape(s string) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(s)
}
