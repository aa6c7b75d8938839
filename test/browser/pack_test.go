package browser

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// refusedAt finds the place in a list that a refusal is about.
var refusedAt = regexp.MustCompile(`^(attachments|cc|bcc)\[(\d+)\]`)

// pack sends mails of an app with as many payloads as they take where only the page of a captured mail shows them: in the names of
// files, and in copies. Each file and copy that is refused is left out. It answers the mails, and which payloads are names of files.
func (g *garden) pack(app string) (mails []string, named map[int]bool) {
	g.t.Helper()
	named = map[int]bool{}
	const files = 20
	for part := range slices.Chunk(g.all, files) {
		lists := map[string][]any{}
		for _, p := range part {
			lists["attachments"] = append(lists["attachments"], map[string]any{"filename": p.Text, "contentType": "text/plain; name=x", "content": base64.StdEncoding.EncodeToString([]byte(p.Text))})
			local := cut(strings.Map(atom, p.Text), 50) + fmt.Sprint("-", p.N)
			lists["cc"], lists["bcc"] = append(lists["cc"], local+"@example.com"), append(lists["bcc"], local+"@elsewhere.example")
		}
		id := g.packed(app, strconv.Quote(strings.Map(printable, part[0].Text))+" <r@example.com>", lists)
		if id == "" {
			continue
		}
		mails = append(mails, id)
		for field, list := range lists {
			g.count("packed "+field, len(list))
		}
		for _, file := range lists["attachments"] {
			for _, found := range numbered.FindAllStringSubmatch(fmt.Sprint(file.(map[string]any)["filename"]), -1) {
				n, _ := strconv.Atoi(found[1])
				named[n] = true
			}
		}
	}
	for _, id := range mails { // captured a moment after it was accepted
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if status, _ := g.call(http.MethodGet, "/api/v1/sandbox/messages/"+id, app, nil); status == http.StatusOK {
				break
			} else if time.Now().After(deadline) {
				g.t.Fatalf("the mail %s is not captured: %d", id, status)
			}
		}
	}
	return mails, named
}

// packed sends one such mail. It takes out of lists what was refused of them.
func (g *garden) packed(app, replyTo string, lists map[string][]any) (id string) {
	g.t.Helper()
	for {
		message := map[string]any{"channel": "EMAIL", "to": "packed@example.com", "subject": "Packed", "body": "<p>Plain</p>", "replyTo": replyTo}
		for field, list := range lists {
			message[field] = list
		}
		status, said := g.call(http.MethodPost, "/api/v1/messages", app, message)
		var answer struct {
			ID      string
			Details struct{ Fields map[string]string }
		}
		if err := json.Unmarshal(said, &answer); err != nil || status >= 300 && status != http.StatusBadRequest {
			g.t.Fatalf("%d %.300s %v", status, said, err)
		}
		if answer.ID != "" {
			return answer.ID
		}
		fewer := false
		for path := range answer.Details.Fields {
			if path == "replyTo" {
				replyTo, fewer = "r@example.com", true
			} else if found := refusedAt.FindStringSubmatch(path); found != nil {
				at, _ := strconv.Atoi(found[2])
				lists[found[1]], fewer = slices.Delete(lists[found[1]], at, at+1), true
			}
		}
		if !fewer {
			g.t.Errorf("a mail is refused whole: %.300s", said)
			return ""
		}
	}
}

// atom leaves out what the part of an address before the @ cannot hold.
func atom(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+/=?^_`{|}~-", r) {
		return r
	}
	return -1
}
