package arkesel

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
)

// The example of Arkesel's signing guide, with a key of ours and the signature computed
// from the guide's rule by another program.
const (
	secret    = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	signedAt  = "1783425600"
	signature = "v1=a27723c807892133d48a1e5c4679fa6c27690777b5b576cc91b3e8f31c89f923"
	reported  = "sms_id=abc123&status=DELIVERED"
	ours      = "cs_m=c0mzz8h2k1234567890abcdef&cs_a=1&"
)

// Made with Python's hmac and json.dumps(sort_keys=True, separators=(",", ":")).
const (
	withOurs   = "v1=8e65c768236d7a544da2c46ea589987ba8557e2b33b5e95eeae51e56e2dd6e94"
	nonASCII   = "v1=e88eab8b7050fae2c701a2a92b311cc02f0066740c720f526d812cd570d366f2"
	signedBody = "v1=aca9be38d62d486761b5616b330af0fd9a2e334eec07231c57565fbb5e0f44c3"
	deepBody   = "v1=8795f2e7e4512d4029c2049d277c689755860af131d00f8248054f3d842913f3"
)

func report(query, body string, header ...string) *provider.Callback {
	c := &provider.Callback{Method: http.MethodGet, Header: http.Header{}, Body: []byte(body), At: time.Unix(1783425600, 0),
		URL: &url.URL{Scheme: "https", Host: "gw.example", Path: "/api/callbacks/arkesel/c/token", RawQuery: query}}
	for i := 0; i < len(header); i += 2 {
		c.Header.Add(header[i], header[i+1])
	}
	return c
}

func TestVerify(t *testing.T) {
	t.Parallel()
	late := func(c *provider.Callback, d time.Duration) *provider.Callback { c.At = c.At.Add(d); return c }
	tests := map[string]struct {
		c  *provider.Callback
		ok bool
	}{
		"the guide's example":                {report(reported, "", headerTime, signedAt, headerSignature, signature), true},
		"beside parameters of ours":          {report(ours+reported, "", headerTime, signedAt, headerSignature, signature), true},
		"with parameters of ours":            {report(ours+reported, "", headerTime, signedAt, headerSignature, withOurs), true},
		"the second of two, in a rotation":   {report(reported, "", headerTime, signedAt, headerSignature, "v1="+strings.Repeat("ab", 32)+", "+signature), true},
		"in a second header":                 {report(reported, "", headerTime, signedAt, headerSignature, "v1="+strings.Repeat("ab", 32), headerSignature, signature), true},
		"in capitals":                        {report(reported, "", headerTime, signedAt, headerSignature, "v1="+strings.ToUpper(signature[3:])), true},
		"another order":                      {report("status=DELIVERED&sms_id=abc123", "", headerTime, signedAt, headerSignature, signature), true},
		"letters beyond ASCII, quotes":       {report(`sms_id=a%2Fb%22%5C&status=%C9%94%0A%F0%9F%98%80`, "", headerTime, signedAt, headerSignature, nonASCII), true},
		"299 s late":                         {late(report(reported, "", headerTime, signedAt, headerSignature, signature), 299*time.Second), true},
		"299 s early":                        {late(report(reported, "", headerTime, signedAt, headerSignature, signature), -299*time.Second), true},
		"a body":                             {report(ours, `{"status":"DELIVERED","sms_id":"abc123"}`, headerTime, signedAt, headerSignature, signature), true},
		"a body with a number in it":         {report("", `{"status":"DELIVERED","sms_id":7}`, headerTime, signedAt, headerSignature, signedBody), true},
		"a body with an object in it":        {report("", `{"data":{"status":"DELIVERED","sms_id":"abc123"}}`, headerTime, signedAt, headerSignature, deepBody), true},
		"301 s late":                         {late(report(reported, "", headerTime, signedAt, headerSignature, signature), 301*time.Second), false},
		"301 s early":                        {late(report(reported, "", headerTime, signedAt, headerSignature, signature), -301*time.Second), false},
		"another status":                     {report("sms_id=abc123&status=FAILED", "", headerTime, signedAt, headerSignature, signature), false},
		"another id":                         {report("sms_id=abc124&status=DELIVERED", "", headerTime, signedAt, headerSignature, signature), false},
		"a parameter more":                   {report(reported+"&id=x", "", headerTime, signedAt, headerSignature, signature), false},
		"a second status":                    {report(reported+"&status=FAILED", "", headerTime, signedAt, headerSignature, signature), false},
		"another time":                       {report(reported, "", headerTime, "1783425601", headerSignature, signature), false},
		"no time":                            {report(reported, "", headerSignature, signature), false},
		"no number as time":                  {report(reported, "", headerTime, "now", headerSignature, signature), false},
		"no signature":                       {report(reported, "", headerTime, signedAt), false},
		"an empty signature":                 {report(reported, "", headerTime, signedAt, headerSignature, "v1="), false},
		"no scheme":                          {report(reported, "", headerTime, signedAt, headerSignature, signature[3:]), false},
		"the third of three":                 {report(reported, "", headerTime, signedAt, headerSignature, strings.Repeat("v1="+strings.Repeat("ab", 32)+",", 2)+signature), false},
		"a signed body beside a query":       {report("sms_id=other&status=FAILED", `{"sms_id":"abc123","status":"DELIVERED"}`, headerTime, signedAt, headerSignature, signature), false},
		"a signed body beside half a query":  {report("status=FAILED", `{"sms_id":"abc123","status":"DELIVERED"}`, headerTime, signedAt, headerSignature, signature), false},
		"a signed body with something in it": {report("", `{"sms_id":"abc123","status":"DELIVERED","data":{"sms_id":"other","status":"FAILED"}}`, headerTime, signedAt, headerSignature, signature), false},
		"nothing":                            {report("", "", headerTime, signedAt, headerSignature, signature), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := verify(provider.Settings{"webhookSecret": secret}, test.c)
			if (err == nil) != test.ok || err != nil && !errors.Is(err, provider.ErrForged) {
				t.Errorf("%v", err)
			}
			if err := verify(provider.Settings{"webhookSecret": secret + "x"}, test.c); err == nil {
				t.Error("another secret verifies it too")
			}
		})
	}
	if err := verify(provider.Settings{}, report(reported, "")); err != nil {
		t.Errorf("an account without a secret: %v", err)
	}
}

// FuzzVerify: nothing that was not signed is believed, and nothing stops the program.
func FuzzVerify(f *testing.F) {
	f.Add(reported, "", signature)
	f.Add(ours, `{"sms_id":"abc123","status":"DELIVERED","x":{}}`, signature+","+signature)
	f.Add("a[b]=%ff&sms_id=%f0%9f%98%80&status=%00", "sms_id=1&status=2", "v1=00")
	f.Fuzz(func(t *testing.T, query, body, header string) {
		c := report(query, body, headerTime, signedAt, headerSignature, header)
		if verify(provider.Settings{"webhookSecret": secret}, c) != nil {
			return
		}
		reports, err := spelling().Read(c)
		if err != nil || len(reports) != 1 || reports[0].Ref != "abc123" || reports[0].Fate != provider.Delivered {
			t.Fatalf("believed although not signed: %+v, %v", reports, err)
		}
	})
}
