package signature

import (
	"strings"
	"testing"
)

// The vector of the Standard Webhooks specification's own libraries, and one of the guide's way, which node's crypto made.
func TestVectors(t *testing.T) {
	t.Parallel()
	const secret, id, timestamp, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`
	if got, want := Standard(id, timestamp, []byte(body), secret), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := Guide(secret, timestamp, []byte(body)), "2e37df5d4a028c51a7f3133d64ae1e300d2c2c900f1b1d49d4369ad2530f8964"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	both := Standard(id, timestamp, []byte(body), secret, "a free text of 16 or more")
	if first, second, ok := strings.Cut(both, " "); !ok || first != Standard(id, timestamp, []byte(body), secret) || second != Standard(id, timestamp, []byte(body), "a free text of 16 or more") {
		t.Errorf("%s", both)
	}
	if Standard(id, timestamp, []byte(body), "whsec_not base64!") == Standard(id, timestamp, []byte(body), "not base64!") {
		t.Error("a secret that cannot be decoded keys by what is behind its prefix")
	}
}
