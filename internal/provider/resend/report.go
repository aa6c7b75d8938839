package resend

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/veil"
	"github.com/commserver/commserver/internal/provider/web"
)

// tolerance is how far a signature's time may be from ours: a report that somebody
// recorded cannot be played again later (docs.svix.com, Standard Webhooks).
const tolerance = 5 * time.Minute

// verifySignature checks the signature of Svix, through which Resend sends reports:
// HMAC-SHA256 over id, time and body, base64, one of several after "v1,". The headers
// may have Svix's prefix or that of Standard Webhooks.
func verifySignature(s provider.Settings, cb *provider.Callback) error {
	secret := s["webhookSecret"]
	if secret == "" {
		return nil
	}
	key := signingKey(secret)
	prefix := "svix-"
	if cb.Header.Get("svix-signature") == "" {
		prefix = "webhook-"
	}
	id, at := cb.Header.Get(prefix+"id"), cb.Header.Get(prefix+"timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || key == nil || id == "" {
		return provider.ErrForged
	}
	if age := cb.At.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return provider.ErrForged
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(cb.Body)
	want := mac.Sum(nil)
	for entry := range strings.FieldsSeq(cb.Header.Get(prefix + "signature")) {
		version, text, _ := strings.Cut(entry, ",")
		got, err := base64.StdEncoding.DecodeString(text)
		if version == "v1" && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return provider.ErrForged
}

// event is what a word of Resend's means.
type event struct {
	fate provider.Fate
	text string
}

// events are the types of reports, without "email.".
func events() map[string]event {
	return map[string]event{
		"scheduled":        {provider.OnItsWay, "Resend keeps the mail until its time"},
		"sent":             {provider.OnItsWay, "Resend has handed the mail to the recipient's server"},
		"delivered":        {provider.Delivered, "the recipient's server took the mail"},
		"delivery_delayed": {provider.OnItsWay, "the recipient's server does not take the mail yet"},
		"bounced":          {provider.Undelivered, "the recipient's server refused the mail"},
		"failed":           {provider.Undelivered, "Resend could not send the mail"},
		"suppressed":       {provider.Undelivered, "Resend does not send to the recipient any more"},
		"complained":       {provider.Complained, "the recipient calls the mail spam"},
		"opened":           {provider.Noted, "the mail was opened"},
		"clicked":          {provider.Noted, "a link in the mail was opened"},
	}
}

// notice is a report. Tags come as an object, although they were sent as a list.
type notice struct {
	Type      web.Scalar `json:"type"`
	CreatedAt web.Scalar `json:"created_at"`
	Data      struct {
		EmailID web.Scalar `json:"email_id"`
		envelope
		Bounce struct {
			Type       web.Scalar      `json:"type"`
			SubType    web.Scalar      `json:"subType"`
			Message    web.Scalar      `json:"message"`
			Diagnostic json.RawMessage `json:"diagnosticCode"`
		} `json:"bounce"`
		Failed struct {
			Reason web.Scalar `json:"reason"`
		} `json:"failed"`
		Suppressed struct {
			Reason  web.Scalar `json:"reason"`
			Type    web.Scalar `json:"type"`
			Message web.Scalar `json:"message"`
		} `json:"suppressed"`
	} `json:"data"`
}

// readReports reads one report. What is not about a mail that was sent (domains,
// contacts, received mail) holds none.
func readReports(cb *provider.Callback) ([]provider.Report, error) {
	var n notice
	if err := json.Unmarshal(cb.Body, &n); err != nil {
		return nil, errors.New("read a report of Resend's: it is no JSON object")
	}
	name, ours := strings.CutPrefix(string(n.Type), "email.")
	if !ours || name == "received" {
		return nil, nil
	}
	r := provider.Report{Ref: reference(string(n.Data.EmailID)), Message: n.Data.message(), Fate: provider.Noted, Code: word(name), At: when(string(n.CreatedAt))}
	if r.Ref == "" && r.Message.IsZero() {
		return nil, nil
	}
	e, known := events()[name]
	if !known {
		return []provider.Report{r}, nil
	}
	r.Fate, r.Text = e.fate, e.text
	said := ""
	switch name {
	case "bounced":
		said = n.bounced(&r)
	case "failed":
		said = string(n.Data.Failed.Reason)
	case "suppressed":
		said = n.suppressed(&r)
	case "complained":
		r.Suppress = comm.SuppressComplaint
	}
	if name != "failed" && n.Data.shared() { // what failed at Resend failed for all
		ofOne(&r)
	}
	if said = (veil.Veil{Numbers: true}).Redact(veil.Cut(said, 4<<10)); said != "" {
		r.Text = veil.Cut(r.Text+": "+said, veil.MaxText)
	}
	return []provider.Report{r}, nil
}

// bounced reads a bounce. Only one that says that the mailbox does not exist speaks about
// the address: size, content and policy do not, and what may pass may be contradicted later.
func (n *notice) bounced(r *provider.Report) (said string) {
	b := &n.Data.Bounce
	r.Code = word(strings.Trim("bounced "+string(b.Type)+"/"+string(b.SubType), "/ "))
	r.Correctable = !strings.EqualFold(string(b.Type), "Permanent")
	if r.Correctable {
		r.Text = "the recipient's server did not take the mail"
		return string(b.Message)
	}
	if noSuchAddress(string(b.SubType), append(listed(b.Diagnostic), string(b.Message))) {
		r.Suppress = comm.SuppressHardBounce
	}
	return string(b.Message)
}

// noSuchAddress says that a bounce for good is about the address: by Resend's own word for it, or by the
// statuses in what the recipient's server said, of which none may speak of anything else.
func noSuchAddress(subType string, said []string) bool {
	unsaid := false
	switch strings.ToLower(subType) {
	case "noemail":
		unsaid = true
	case "mailboxfull", "messagetoolarge", "contentrejected", "attachmentrejected":
		return false
	}
	var all []string
	for _, text := range said {
		all = append(all, statuses(text)...)
	}
	if len(all) == 0 {
		return unsaid
	}
	return !slices.ContainsFunc(all, func(status string) bool {
		detail, permanent := strings.CutPrefix(status, "5.")
		return !permanent || !slices.Contains(provider.NoSuchAddress(), detail)
	})
}

// statuses finds the failures of RFC 3463 in a server's words, such as "5.1.1"; addresses of machines have one dot more.
func statuses(text string) (out []string) {
	for run := range strings.FieldsFuncSeq(veil.Cut(text, 4<<10), func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
		run = strings.Trim(run, ".")
		if (strings.HasPrefix(run, "5.") || strings.HasPrefix(run, "4.")) && strings.Count(run, ".") == 2 {
			out = append(out, run)
		}
	}
	return out
}

// suppressed reads that the recipient is on Resend's own list, and why.
func (n *notice) suppressed(r *provider.Report) (said string) {
	s := &n.Data.Suppressed
	why := strings.ToLower(string(s.Reason) + " " + string(s.Type))
	switch {
	case strings.Contains(why, "complaint"):
		r.Suppress = comm.SuppressComplaint
	case strings.Contains(why, "bounce"):
		r.Suppress = comm.SuppressHardBounce
	}
	return string(s.Message)
}

// envelope is whom a mail went to, as far as Resend tells, and our tags on it.
type envelope struct {
	To   json.RawMessage `json:"to"`
	CC   json.RawMessage `json:"cc"`
	BCC  json.RawMessage `json:"bcc"`
	Tags json.RawMessage `json:"tags"` // an object, or a list as it was sent
}

// shared says that the mail went to several: which of them a report is about Resend does not say. Reports do
// not name copies either, so that the mail carries a tag that does.
func (e *envelope) shared() bool {
	return e.tag(tagCopies) != "" || len(listed(e.To))+len(listed(e.CC))+len(listed(e.BCC)) > 1
}

// ofOne makes of a report one about an unknown one of several: it suppresses nobody, and the opposite may be told of another one.
func ofOne(r *provider.Report) {
	r.Suppress, r.Correctable = "", r.Fate == provider.Undelivered
	r.Text += " (one of several recipients; Resend does not say which)"
}

// message is our id of the message; zero if it is not there.
func (e *envelope) message() comm.ID {
	id, err := comm.ParseID(e.tag(tagMessage))
	if err != nil {
		return comm.ID{}
	}
	return id
}

// tag is the value of a tag, "" if it is not there.
func (e *envelope) tag(name string) string {
	var object map[string]web.Scalar
	var list []struct{ Name, Value web.Scalar }
	if json.Unmarshal(e.Tags, &object) == nil {
		return string(object[name])
	}
	if json.Unmarshal(e.Tags, &list) == nil {
		for _, t := range list {
			if string(t.Name) == name {
				return string(t.Value)
			}
		}
	}
	return ""
}

// listed are the texts of a list, or of one that stands alone.
func listed(raw json.RawMessage) (out []string) {
	var many []web.Scalar
	if json.Unmarshal(raw, &many) == nil {
		for _, s := range many {
			out = append(out, string(s))
		}
		return out
	}
	var one web.Scalar
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{string(one)}
	}
	return nil
}

// when reads a time of Resend's, which come in two forms; zero for others.
func when(text string) time.Time {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999Z07:00"} {
		if at, err := time.Parse(form, text); err == nil && at.Year() >= 2000 && at.Year() <= 2200 {
			return at
		}
	}
	return time.Time{}
}

// word makes a provider's word fit to be a code.
func word(text string) string {
	return veil.Cut(veil.Veil{Numbers: true}.Redact(veil.Cut(text, 256)), 64)
}
