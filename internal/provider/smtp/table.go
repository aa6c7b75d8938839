package smtp

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/provider"
)

// rule is one row of the table of replies. A row matches when all that it
// names matches; the first matching row decides. Rows that name an enhanced
// code (RFC 3463, IANA registry) come before those that know only the basic
// one. The basic code's first digit says whether a repeat can help, the
// enhanced subject whose fault it is.
type rule struct {
	name   string
	at     []phase  // nil: any
	code   []string // basic codes or their first digits; nil: any
	status []string // "subject.detail" or "subject."; nil: any, also none
	bare   bool     // only without an enhanced status: what the basic code means by itself (RFC 5321, 4.2.3)
	hint   []string // one of these is in the lower-cased text; nil: any text
	class  provider.Class
	hard   bool          // the recipient does not exist
	after  time.Duration // sensible wait; 0: the usual back-off
	works  bool          // the server works; it is this recipient that has to wait
	what   string        // sentence for people; the server's words follow
}

// How long to wait where the reply's meaning suggests it.
const (
	waitGreylist = 5 * time.Minute // greylisting typically ends after 5 to 15 minutes
	waitBusy     = time.Minute     // "closing the channel": too many connections or a restart
	waitFull     = time.Hour       // a mailbox is not emptied within minutes
)

// Words that servers use when they give no enhanced code, or one that says too little.
func unknownUser() []string {
	return []string{"user unknown", "unknown user", "no such user", "no such recipient", "no such mailbox", "does not exist",
		"doesn't exist", "unknown recipient", "recipient unknown", "user not found", "mailbox not found", "no mailbox", "invalid recipient"}
}

func policyWords() []string {
	return []string{"relay", "spam", "block", "denied", "policy", "prohibit", "not allowed", "not permitted", "authenticat",
		"spf", "dkim", "dmarc", "blacklist", "blocklist", "reputation", "dnsbl"}
}

func userRejects() []string {
	return []string{"blocked by recipient", "blocked by the recipient", "recipient has blocked", "user has blocked",
		"user rejects", "refused by recipient", "refused by the recipient"}
}

// slowDown are the words of a server that wants less at a time from this account: SMTP has no code for it.
func slowDown() []string {
	return []string{"rate limit", "ratelimit", "rate-limit", "message rate", "sending rate", "throttl", "slow down", "too fast", "too many messages", "too many mails", "too many emails"}
}

// rules is the table of replies by phase.
func rules() []rule {
	start := []phase{greeting, hello}
	message := []phase{data, content, final}
	transaction := []phase{mailFrom, rcptTo, data, content, final}
	deliverable := []phase{rcptTo, data, content, final}
	const (
		permanentMessage = provider.PermanentMessage
		permanentHere    = provider.PermanentHere
		account          = provider.Account
		transient        = provider.Transient
	)
	return []rule{
		{name: "closing", code: []string{"421"}, class: transient, after: waitBusy, what: "the server closes the connection for now"},
		{name: "greeting later", at: start, code: []string{"4"}, class: transient, after: waitBusy, what: "the server takes no connection now"},
		{name: "greeting refused", at: start, code: []string{"5"}, class: account, what: "the server refuses connections from this host"},
		{name: "TLS later", at: []phase{startTLS}, code: []string{"4"}, class: transient, what: "the server cannot encrypt now"},
		{name: "TLS refused", at: []phase{startTLS}, code: []string{"5"}, class: account, what: "the server refuses to encrypt"},
		{name: "password transition", at: []phase{authentication}, code: []string{"432"}, class: account, what: "the server wants a password change"},
		{name: "login later", at: []phase{authentication}, code: []string{"4"}, class: transient, what: "the server cannot check the login now"},
		{name: "login refused", at: []phase{authentication}, code: []string{"5"}, class: account, what: "the server refuses the login"},

		{name: "daily limit", at: transaction, code: []string{"5"}, status: []string{"4.5", "7.708"}, class: account, what: "the account's sending limit is reached"},
		{name: "sender blocked", at: transaction, code: []string{"5"}, status: []string{"1.8"}, hint: []string{"outbound"}, class: account, what: "the account is blocked for sending"},

		{name: "slow down", at: transaction, code: []string{"4"}, status: []string{"0.", "3.", "4.", "5.", "7."}, hint: slowDown(), class: provider.RateLimited, after: waitBusy, what: "the server asks to send more slowly"},
		{name: "slow down without status", at: transaction, code: []string{"4"}, bare: true, hint: slowDown(), class: provider.RateLimited, after: waitBusy, what: "the server asks to send more slowly"},
		{name: "sender's domain later", at: transaction, code: []string{"4"}, status: []string{"1.7", "1.8"}, class: transient, works: true, what: "the server cannot check the sender's address now"},
		{name: "sender later", at: []phase{mailFrom}, code: []string{"4"}, class: transient, what: "the server does not take the sender now"},
		{name: "mail too large for MAIL", at: []phase{mailFrom}, code: []string{"5"}, status: []string{"3.4", "2.3"}, class: permanentHere, what: "the mail is too large for the server"},
		{name: "sender refused", at: []phase{mailFrom}, code: []string{"5"}, class: permanentHere, what: "the server does not allow the sender"},

		{name: "mailbox full", at: deliverable, code: []string{"4", "5"}, status: []string{"2.2"}, class: transient, after: waitFull, works: true, what: "the recipient's mailbox is full"},
		{name: "no such recipient", at: deliverable, code: []string{"5"}, status: provider.NoSuchAddress(), class: permanentMessage, hard: true, what: "the recipient does not exist"},
		{name: "sender refused late", at: deliverable, code: []string{"5"}, status: []string{"1.7", "1.8"}, class: permanentHere, what: "the server does not allow the sender"},
		{name: "too large", at: deliverable, code: []string{"5"}, status: []string{"3.4", "2.3"}, class: permanentHere, what: "the mail is too large"},
		{name: "address fault", at: []phase{rcptTo}, code: []string{"5"}, status: []string{"1.", "2."}, class: permanentMessage, what: "the recipient cannot take mail"},
		{name: "recipient rejects", at: []phase{rcptTo}, code: []string{"5"}, status: []string{"7."}, hint: userRejects(), class: permanentMessage, what: "the recipient refuses the sender"},
		{name: "policy", at: []phase{rcptTo}, code: []string{"5"}, status: []string{"7."}, class: permanentHere, what: "the server's policy refuses the mail"},
		{name: "server or network", at: []phase{rcptTo}, code: []string{"5"}, status: []string{"0.", "3.", "4.", "5.", "6."}, class: permanentHere, what: "the server cannot deliver the mail"},

		{name: "greylisting", at: deliverable, code: []string{"450", "451"}, status: []string{"2.0", "7.1"}, class: transient, after: waitGreylist, works: true, what: "the server asks to come again later"},
		{name: "greylisting by name", at: deliverable, code: []string{"4"}, hint: []string{"greylist", "graylist", "grey-list", "gray-list"}, class: transient, after: waitGreylist, works: true, what: "the server asks to come again later"},
		{name: "address later", at: []phase{rcptTo}, code: []string{"4"}, status: []string{"1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.10", "2."}, class: transient, works: true, what: "the recipient cannot take mail now"},
		{name: "mailbox later", at: []phase{rcptTo}, code: []string{"450"}, bare: true, class: transient, works: true, what: "the recipient cannot take mail now"},
		{name: "recipient later", at: []phase{rcptTo}, code: []string{"4"}, class: transient, what: "the server does not take the recipient now"},
		{name: "unknown by words", at: []phase{rcptTo}, code: []string{"550", "551", "553"}, hint: unknownUser(), class: permanentMessage, hard: true, what: "the recipient does not exist"},
		{name: "policy by words", at: []phase{rcptTo}, code: []string{"550", "551", "553"}, hint: policyWords(), class: permanentHere, what: "the server's policy refuses the mail"},
		{name: "recipient refused", at: []phase{rcptTo}, code: []string{"550", "551", "553"}, class: permanentMessage, what: "the server refuses the recipient"},
		{name: "full without code", at: []phase{rcptTo}, code: []string{"552"}, class: transient, after: waitFull, works: true, what: "the recipient's mailbox is full"},
		{name: "recipient not served", at: []phase{rcptTo}, code: []string{"5"}, class: permanentHere, what: "the server cannot deliver to the recipient"},

		{name: "mail later", at: message, code: []string{"4"}, class: transient, what: "the server does not take the mail now"},
		{name: "mail refused", at: message, code: []string{"5"}, class: permanentHere, what: "the server refuses the mail"},
		{name: "unreadable answer to the mail", at: []phase{final}, class: provider.Ambiguous, what: "the server's answer to the mail makes no sense; it may have been sent"},
		{name: "unexpected", class: transient, what: "the server's answer makes no sense here"},
	}
}

func (r *rule) matches(p phase, rep *reply) bool {
	return hasPhase(r.at, p) && hasCode(r.code, rep.code) && (!r.bare || rep.enhanced.class == 0) && hasStatus(r.status, rep.enhanced) && hasHint(r.hint, rep.text)
}

func hasPhase(list []phase, p phase) bool {
	return list == nil || slices.Contains(list, p)
}

func hasCode(list []string, code int) bool {
	text := strconv.Itoa(code)
	for _, x := range list {
		if strings.HasPrefix(text, x) {
			return true
		}
	}
	return list == nil
}

func hasStatus(list []string, e enhanced) bool {
	if list == nil {
		return true
	}
	if e.class == 0 {
		return false
	}
	subject := strconv.Itoa(e.subject) + "."
	whole := subject + strconv.Itoa(e.detail)
	for _, x := range list {
		if x == subject || x == whole {
			return true
		}
	}
	return false
}

func hasHint(list []string, text string) bool {
	if list == nil {
		return true
	}
	text = strings.ToLower(text)
	for _, x := range list {
		if strings.Contains(text, x) {
			return true
		}
	}
	return false
}

// judge finds the row for a reply. The last row takes everything.
func judge(p phase, rep *reply) rule {
	table := rules()
	for i := range table {
		if table[i].matches(p, rep) {
			return table[i]
		}
	}
	return table[len(table)-1]
}
