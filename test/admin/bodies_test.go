package admin

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/test/reports"
)

const svixSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// reporter is a type of provider that reports, as its reports come in.
type reporter struct {
	kind, config string
	form, json   bool // a body of that sort is a report of its
	sign         func(callback string, q *http.Request, body []byte)
}

func reporters() []reporter {
	none := func(string, *http.Request, []byte) {}
	return []reporter{
		{"HUBTEL", `{"clientId":"c","clientSecret":"s","senderId":"Bank"}`, true, true, none},
		{"NALO", `{"authKey":"k","senderId":"Bank"}`, true, true, none},
		{"MNOTIFY", `{"apiKey":"k","senderId":"Bank"}`, true, true, none},
		{"ARKESEL", `{"apiKey":"k","senderId":"Bank"}`, true, true, none},
		{"TWILIO", `{"accountSid":"AC0123456789abcdef0123456789abcdef","authToken":"` + authToken + `","senderId":"Bank"}`, true, false, signTwilio},
		{"RESEND", `{"apiKey":"re_k","from":"shop@example.com","webhookSecret":"` + svixSecret + `"}`, false, true, signSvix},
	}
}

// signTwilio signs a form, or a body that is none by its hash in the URL.
func signTwilio(callback string, q *http.Request, body []byte) {
	text := callback
	form, err := url.ParseQuery(string(body))
	if err != nil || len(body) > 0 && !bytes.HasPrefix(body, []byte("MessageSid=")) {
		sum := sha256.Sum256(body)
		q.URL.RawQuery = "bodySHA256=" + hex.EncodeToString(sum[:])
		text, form = callback+"?"+q.URL.RawQuery, nil
	}
	if q.Method == http.MethodPost {
		for _, name := range slices.Sorted(maps.Keys(form)) {
			text += name + form.Get(name)
		}
	}
	mac := hmac.New(sha1.New, []byte(authToken))
	mac.Write([]byte(text))
	q.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func signSvix(_ string, q *http.Request, body []byte) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(svixSecret, "whsec_"))
	if err != nil {
		panic(err)
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("msg_1." + at + "." + string(body)))
	q.Header.Set("svix-id", "msg_1")
	q.Header.Set("svix-timestamp", at)
	q.Header.Set("svix-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

const (
	reportForm   = "MessageSid=SM1&MessageStatus=delivered&job_id=R1&sms_id=R1&message_id=R1&messageId=R1&status=delivered"
	reportUpload = "--x\r\nContent-Disposition: form-data; name=\"job_id\"\r\n\r\nR1\r\n--x\r\nContent-Disposition: form-data; name=\"status\"\r\n\r\ndelivered\r\n--x--\r\n"
	reportJSON   = `{"job_id":"R1","sms_id":"R1","message_id":"R1","messageId":"R1","status":"delivered","type":"email.delivered","data":{"email_id":"R1","to":["ama@example.com"]}}`
)

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

// TestCallbacksHoweverTheyCome sends to each type of provider what proxies, frameworks and strangers make of reports: each is stored
// before it is acknowledged, or refused and not stored; what a body is said to be does not count, and nothing is our fault.
func TestCallbacksHoweverTheyCome(t *testing.T) {
	t.Parallel()
	kinds := map[string][]string{
		"a form": {"application/x-www-form-urlencoded"}, "JSON": {"application/json"}, "nothing": nil, "JSON in UTF-16": {"application/json; charset=utf-16"},
		"a form in Latin 1": {"application/x-www-form-urlencoded;charset=ISO-8859-1"}, "a broken type": {"nonsense;;;=\"\xff"}, "two types": {"application/json", "text/xml"},
		"an upload": {"multipart/form-data; boundary=x"}, "an upload without its boundary": {"multipart/form-data"}, "XML": {"text/xml"}, "a long type": {strings.Repeat("a", 5000)},
	}
	for _, r := range reporters() {
		t.Run(r.kind, func(t *testing.T) {
			t.Parallel()
			s := &reports.Faulty{Store: file(t, time.Now)}
			d := newDoor(t, s, newRing(t), time.Now)
			app, _ := d.made("reporting", `"scopes":["SEND","READ","PROVIDERS"]`)
			made := d.do(app, "POST", "/api/v1/provider-configs", `{"providerType":"`+r.kind+`","config":`+r.config+`}`)
			callback := made.str("callbackUrl")
			if callback == "" {
				t.Fatalf("%d %s", made.status, made.raw)
			}
			call := &called{d: d, r: r, callback: callback}
			for said, types := range kinds {
				for name, body := range map[string]string{"form": reportForm, "json": reportJSON, "upload": reportUpload, "none": "", "broken": "{\"a\":%zz;&\xff\x00"} {
					readable := name == "form" && r.form || name == "json" && r.json || name == "upload" && r.kind == "NALO"
					call.expect(name+" said to be "+said, "POST", "", types, "", []byte(body), 200, true, readable)
				}
			}
			call.expect("gzip", "POST", "", kinds["JSON"], "gzip", zipped(reportJSON), 200, true, false)
			call.expect("said to be gzip", "POST", "", kinds["a form"], "gzip", []byte(reportForm), 200, true, r.form)
			call.expect("GET with nothing", "GET", "", nil, "", nil, 200, true, false)
			call.expect("GET with a body", "GET", "", kinds["JSON"], "", []byte(reportJSON), 200, true, false)
			call.expect("HEAD", "HEAD", "", nil, "", nil, 200, false, false)
			for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
				call.expect(method, method, "", kinds["JSON"], "", []byte(reportJSON), 405, false, false)
			}
			large := bytes.Repeat([]byte("a"), receipt.MaxBody+1)
			call.expect("too large", "POST", "", kinds["a form"], "", large, 413, false, false)
			call.expect("too large, of no said length", "POST", "", kinds["a form"], "chunked", large, 413, false, false)
			call.expect("as large as may be", "POST", "", kinds["a form"], "", large[1:], 200, true, false)
			away := store.ErrUncertain
			s.NoReceive.Store(&away)
			call.expect("while nothing can be stored", "POST", "", kinds["a form"], "", []byte(reportForm), 503, false, false)
			s.NoReceive.Store(nil)
			call.expect("once it can", "POST", "", kinds["a form"], "", []byte(reportForm), 200, true, r.form)
		})
	}
}

// called sends to one callback URL.
type called struct {
	d        *door
	r        reporter
	callback string
}

func (c *called) expect(name, method, query string, types []string, encoding string, body []byte, status int, stored, readable bool) {
	t := c.d.t
	t.Helper()
	q := httptest.NewRequest(method, strings.TrimPrefix(c.callback, "http://localhost:3008"), bytes.NewReader(body))
	if q.URL.RawQuery = query; encoding == "chunked" {
		q.ContentLength = -1
	} else if encoding != "" {
		q.Header.Set("Content-Encoding", encoding)
	}
	q.Header["Content-Type"] = types
	c.r.sign(c.callback, q, body)
	before := c.d.reports.Counts()
	rec := httptest.NewRecorder()
	c.d.handler.ServeHTTP(rec, q)
	if rec.Code != status {
		t.Errorf("%s: %d, want %d: %s", name, rec.Code, status, rec.Body)
	}
	if status == 405 && (!strings.Contains(rec.Header().Get("Allow"), "GET") || !strings.Contains(rec.Header().Get("Allow"), "POST")) {
		t.Errorf("%s: Allow is %q", name, rec.Header().Get("Allow"))
	}
	if status == 503 && rec.Header().Get("Retry-After") == "" {
		t.Errorf("%s: it does not say when to come again", name)
	}
	after := c.d.reports.Counts()
	if got := after.Stored - before.Stored; got != 0 && !stored || got != 1 && stored {
		t.Errorf("%s: %d requests are stored", name, got)
	}
	if !readable {
		return
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if now := c.d.reports.Counts(); now.Parked > before.Parked {
			return // it was read, and names no message of ours
		}
		if time.Now().After(end) {
			t.Fatalf("%s: it is not read: %+v", name, c.d.reports.Counts())
		}
	}
}
