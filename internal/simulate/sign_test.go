package simulate

import (
	"net/url"
	"strings"
	"testing"
)

// TestSignaturesOfOthers holds our signatures against vectors of the providers' documentation.
func TestSignaturesOfOthers(t *testing.T) {
	t.Parallel()
	// docs.svix.com/receiving/verifying-payloads/how-manual
	if got := signStandard(secretBytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("Svix: %s", got)
	}
	// twilio.com/docs/usage/security
	form := url.Values{"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"}, "From": {"+14158675309"}, "To": {"+18005551212"}}
	if got := signTwilio("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", form); got != "RSOYDt4T1cUTdK1PDd93/VVr8B8=" {
		t.Errorf("Twilio: %s", got)
	}
	// Computed by hand from the rule of Arkesel's guide; see providers' notes.
	if got := signArkesel(strings.Repeat("0123456789abcdef", 4), "1783425600", url.Values{"status": {"DELIVERED"}, "sms_id": {"abc123"}}); got != "a27723c807892133d48a1e5c4679fa6c27690777b5b576cc91b3e8f31c89f923" {
		t.Errorf("Arkesel: %s", got)
	}
	if got := phpString("a/ɛ<😀\""); got != `"a/\u025b<\ud83d\ude00\""` {
		t.Errorf("PHP's JSON: %s", got)
	}
}
