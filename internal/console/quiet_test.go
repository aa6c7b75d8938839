package console

import (
	"net/url"
	"strings"
	"testing"
)

// TestFramesAreQuiet: the frames of a message, of a capture and of a draft have nothing of it; the source has the original.
func TestFramesAreQuiet(t *testing.T) {
	t.Parallel()
	const hint, kept = `<link rel=\"preconnect\" href=\"//elsewhere.test\">`, "It left."
	answers := full()
	id := sample["{id}"]
	answers["GET /api/admin/messages/"+id] = `200 {"id":"` + id + `","channel":"EMAIL","status":"SENT","toAddress":"ama@example.com","body":"` + hint + kept + `","app":{"id":"a1","slug":"shop","name":"Shop"}}`
	answers["GET /api/v1/sandbox/messages/"+id] = `200 {"id":"` + id + `","channel":"EMAIL","toAddress":"ama@example.com","body":"` + hint + kept + `"}`
	c := open(t, &fakeAPI{answers: answers})
	good := token(t, c)
	for path, form := range map[string]url.Values{
		messagesPath + "/" + id + "/content":                             nil,
		sandboxPath + "/shop/" + id + "/content":                         nil,
		templatesPath + "/shop/draft?channel=EMAIL":                      {"_token": {good}, "channel": {"EMAIL"}, "subject": {"x"}, "body": {strings.ReplaceAll(hint, `\`, "") + kept}},
		messagesPath + "/" + id + "?view=source" /* has the original */ : nil,
	} {
		method := "GET"
		if form != nil {
			method = "POST"
		}
		w := ask(c, method, path, form)
		source := strings.Contains(path, "view=source")
		if has := strings.Contains(w.Body.String(), "elsewhere.test"); w.Code != 200 || has != source || !strings.Contains(w.Body.String(), kept) || w.Header().Get("X-DNS-Prefetch-Control") != "off" {
			t.Errorf("%s: %d %v %.600s", path, w.Code, w.Header(), w.Body)
		}
	}
}
