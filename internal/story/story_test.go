package story

import (
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

func noon() time.Time { return time.Date(2026, 7, 3, 12, 0, 0, 0, time.UTC) }

// staged are the failures of which a reader must be able to say what happened and what happens next.
func staged() map[string]struct {
	m                       client.Stored
	happened, why, next, do string
	doubts                  int
} {
	at := noon()
	attempt := func(outcome, detail string) []client.Attempt {
		return []client.Attempt{{Attempt: 1, Provider: "resend", Outcome: "failed", Detail: "first"}, {Attempt: 2, Provider: "smtp", Outcome: outcome, Detail: detail}}
	}
	failed := func(cause comm.Cause, text string) client.Stored {
		return client.Stored{Status: "FAILED", Channel: client.Email, ErrorMessage: text, ProviderName: "smtp", Attempts: 2, AttemptLog: attempt("failed", "451 busy"),
			Events: []client.Event{{Type: "accepted", To: "QUEUED"}, {Type: cause.String(), From: "SENDING", To: "FAILED", Provider: "smtp"}}}
	}
	waits := func(word string, next *time.Time, log []client.Attempt) client.Stored {
		s := client.Stored{Status: "QUEUED", WaitingFor: word, NextAttemptAt: next, Attempts: len(log), AttemptLog: log}
		if len(log) > 0 {
			s.RetriesUntil = &at
		}
		return s
	}
	type row = struct {
		m                       client.Stored
		happened, why, next, do string
		doubts                  int
	}
	complained := client.Stored{Status: "DELIVERED", ProviderName: "resend", Events: []client.Event{{Type: comm.CauseReportDelivered.String(), From: "SENT", To: "DELIVERED"}, {Type: comm.CauseComplaint.String(), From: "DELIVERED", To: "DELIVERED"}}}
	unproved := complained
	unproved.Status = "SENT"
	doubtful := failed(comm.CauseOutcomeUnknown, comm.EndText(comm.CauseOutcomeUnknown))
	doubtful.MayHaveBeenSent, doubtful.AttemptLog = true, attempt("unknown", "451 busy")
	elsewhere := doubtful
	elsewhere.AttemptLog = []client.Attempt{{Attempt: 1, Provider: "resend", Outcome: "unknown", Detail: "cut off"}}
	late := failed(comm.CauseExpired, comm.EndText(comm.CauseExpired))
	late.AttemptLog = nil
	after := func(class provider.Class, words string) client.Stored {
		return waits(chain.WaitRetry, &at, []client.Attempt{{Attempt: 1, Provider: "resend", Outcome: "failed", ErrorCode: class.Rule().Code, Detail: words}})
	}
	first := doubtful
	first.AttemptLog = []client.Attempt{{Attempt: 1, Provider: "resend", Outcome: "unknown", Detail: "cut off"}, {Attempt: 2, Provider: "smtp", Outcome: "failed", ErrorCode: provider.Transient.Rule().Code, Detail: "451 busy"}}
	doubted := waits(chain.WaitRetry, &at, first.AttemptLog)
	refused := failed(comm.CauseExpired, comm.EndText(comm.CauseExpired))
	refused.AttemptLog = after(provider.Account, "API key is invalid").AttemptLog
	unsure := failed(comm.CauseExpired, comm.EndText(comm.CauseExpired))
	unsure.AttemptLog = elsewhere.AttemptLog
	repeated := waits(chain.WaitRetry, &at, attempt("unknown", "no answer within 30 s"))
	repeated.PossibleDuplicate = true
	expiring := waits(chain.WaitRetry, &at, attempt("failed", "451 busy"))
	expiring.ExpiresAt = &at
	given := failed(comm.CauseExhausted, comm.EndText(comm.CauseExhausted))
	given.AttemptLog = after(provider.Account, "API key is invalid").AttemptLog
	relays := []client.Attempt{{Attempt: 1, Provider: "smtp", ConfigName: "Main relay", Outcome: "failed", Detail: "no connection"}, {Attempt: 2, Provider: "smtp", ConfigName: "Spare relay", Outcome: "accepted"}}
	taken := client.Stored{Status: "SENT", ProviderName: "smtp", Attempts: 2, AttemptLog: relays}
	bounced := failed(comm.CauseProviderRejected, "550 no such user")
	bounced.Events[1].Detail = "550 no such user" + comm.SuppressedNow
	asked := failed(comm.CauseProviderRejected, "the sandbox refuses this recipient, as asked")
	asked.Sandbox, asked.ProviderName, asked.Events[1].Provider, asked.AttemptLog = true, "sandbox", "sandbox", nil
	again := client.Stored{Status: "SENT", ProviderName: "resend", PossibleDuplicate: true, AttemptLog: []client.Attempt{{Attempt: 1, Provider: "resend", Outcome: "unknown", Detail: "cut off"}, {Attempt: 2, Provider: "resend", Outcome: "accepted"}}}
	return map[string]row{
		"failed over":                               {taken, "Spare relay took it, after Main relay had not", "Main relay: no connection", "Nothing more: a provider of this type does not report", "", 0},
		"sent again":                                {again, "Handed over: resend took it. That", "", "Without reports", "", 1},
		"refused and suppressed":                    {bounced, "The mail server refused it for good", "550 no such user", "This put the address on the app's suppression list", "take it off the list", 0},
		"never tried, throttled":                    {waits(chain.WaitThrottled, &at, nil), "asked us to slow down", "", "The first attempt starts at noon", "", 0},
		"a text that arrived":                       {client.Stored{Status: "DELIVERED", Channel: client.SMS, ProviderName: "arkesel"}, "arkesel reported the delivery", "", "Nothing more.", "", 0},
		"refused for good":                          {failed(comm.CauseProviderRejected, "550 no such user"), "The mail server refused it for good", "550 no such user", "Nothing more is tried", "address or the content", 0},
		"retries exhausted":                         {failed(comm.CauseExhausted, comm.EndText(comm.CauseExhausted)), "time for retries was over", "451 busy", "Nothing more is tried", "once the provider works", 0},
		"expired":                                   {failed(comm.CauseExpired, comm.EndText(comm.CauseExpired)), "time to live was over before another attempt", "451 busy", "Nothing more is tried", "cannot be queued again. Read below why its attempts failed", 0},
		"outcome unknown":                           {doubtful, "gave no clear answer", "451 busy", "Nothing more is tried", "its Message-ID begins with it. Queue it again only if it did not arrive", 1},
		"outcome unknown before a failure":          {first, "gave no clear answer", "451 busy", "Nothing more is tried", "there is no reference. Queue it again only if it did not arrive", 1},
		"retry after a doubt":                       {doubted, "latest attempt, with the mail server, failed", "451 busy", "it fails as exhausted.", "verify the provider's configuration.", 0},
		"expired after a refused account":           {refused, "time to live was over before another attempt", "API key is invalid", "Nothing more is tried", "an expired one cannot be queued again. Read below", 0},
		"expired after a doubt":                     {unsure, "time to live was over before another attempt", "cut off", "Nothing more is tried", "an expired one cannot be queued again.", 0},
		"outcome unknown elsewhere":                 {elsewhere, "gave no clear answer", "cut off", "Nothing more is tried", "there is no reference. Queue it again only if it did not arrive", 1},
		"expired before its turn":                   {late, "time to live was over before another attempt", "", "Nothing more is tried", "an expired one cannot be queued again.", 0},
		"refused by the sandbox":                    {asked, "The sandbox refused it for good", "refuses this recipient, as asked", "Nothing more is tried", "Nothing has to be done", 0},
		"no provider":                               {failed(comm.CauseNoProvider, comm.EndText(comm.CauseNoProvider)), "no provider configuration", "451 busy", "Nothing more is tried", "Add a provider", 0},
		"content gone":                              {failed(comm.CauseContentGone, comm.EndText(comm.CauseContentGone)), "content had been removed", "451 busy", "Nothing more is tried", "Send a new", 0},
		"broken inside":                             {failed(comm.CauseInternalError, ""), "This server could not send it", "451 busy", "Nothing more is tried", "server's log", 0},
		"bounced":                                   {failed(comm.CauseReportFailed, "mailbox is full"), "did not arrive", "mailbox is full", "Nothing more is tried", "Check the address", 0},
		"suppressed":                                {client.Stored{Status: "SUPPRESSED"}, "was on the app's suppression list", "", "Nothing more", "take the address off", 0},
		"waits for a retry":                         {waits(chain.WaitRetry, &at, attempt("failed", "451 busy")), "latest attempt, with the mail server, failed", "451 busy", "until the time for retries is over, at noon; then it fails as exhausted", "", 0},
		"retried after no answer":                   {repeated, "had no clear answer", "no answer within 30 s", "The next attempt starts at noon", "", 1},
		"account refused":                           {after(provider.Account, "API key is invalid"), "latest attempt, with resend, failed", "API key is invalid", "does not start earlier when the provider works again", "Check the key, the balance and the permissions", 0},
		"account refused to the end":                {given, "time for retries was over", "API key is invalid", "Nothing more is tried", "Check the key, the balance and the permissions", 0},
		"down for now":                              {after(provider.Transient, "no connection"), "latest attempt, with resend, failed", "no connection", "does not start earlier when the provider works again: to try sooner, cancel the message", "verify the provider's configuration.", 0},
		"throttled":                                 {after(provider.RateLimited, "slow down"), "latest attempt, with resend, failed", "slow down", "The next attempt starts at noon", "ratePerSecond", 0},
		"no clear answer":                           {after(provider.Ambiguous, "cut off"), "latest attempt, with resend, failed", "cut off", "The next attempt starts at noon", "Cancel it if nobody may get it twice", 0},
		"not this provider's":                       {after(provider.PermanentHere, "unknown sender"), "latest attempt, with resend, failed", "unknown sender", "The next attempt starts at noon", "another configuration", 0},
		"complained":                                {complained, "reported it as unwanted", "", "the app's suppression list", "Write to nobody", 0},
		"complained, and no report of its delivery": {unproved, "reported it as unwanted", "", "the app's suppression list", "Write to nobody", 0},
		"provider down":                             {waits(chain.WaitDown, nil, nil), "does not answer or refuses", "", "as soon as the provider works again", "verify the configuration.", 0},
		"app off":                                   {waits(chain.WaitAppPaused, nil, nil), "switched off", "", "as soon as the app is switched on. It has no time to live", "Switch the app on", 0},
		"credentials unreadable":                    {waits(chain.WaitCredentials, nil, nil), "credentials cannot be read", "", "as soon as the credentials can be read", "encryption keys", 0},
		"scheduled":                                 {waits(chain.WaitSchedule, &at, nil), "scheduled time", "", "It is sent at noon, at its scheduled time", "", 0},
		"waits its turn":                            {waits(chain.WaitTurn, nil, nil), "waits for its turn", "", "as soon as its turn comes", "", 0},
		"expires while it waits":                    {expiring, "waits to be tried again", "451 busy", "it fails as expired", "", 0},
		"no report came":                            {client.Stored{Status: "SENT", ProviderName: "twilio", Unconfirmed: true}, "twilio took it", "", "Without reports it stays", "callback URL", 1},
		"live into the sandbox":                     {client.Stored{Status: "SENT", ProviderName: "sandbox"}, "nothing was sent to the recipient", "", "sandbox inbox", "no provider configuration", 0},
	}
}

// reports is so of all but mail servers.
func reports(provider string) bool { return provider != "smtp" }

// beside is that of a message that has several configurations to go by.
func beside(when func(time.Time) string, list List) Beside {
	return Beside{When: when, Reports: reports, Alone: func() bool { return false }, List: list}
}

func TestStagedFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range staged() {
		s := Tell(&tc.m, beside(func(time.Time) string { return "at noon" }, List{}))
		for what, pair := range map[string][2]string{"what happened": {s.Happened, tc.happened}, "why": {s.Why, tc.why}, "what is next": {s.Next, tc.next}, "what to do": {s.Do, tc.do}} {
			if !strings.Contains(pair[0], pair[1]) || pair[1] == "" && pair[0] != "" {
				t.Errorf("%s: %s reads %q, without %q", name, what, pair[0], pair[1])
			}
		}
		if doubted := lastUnknown(&tc.m) != nil; doubted && strings.Contains(s.Next, "to try sooner") || strings.Contains(s.Do, "Read below why its attempts failed") && (doubted || strings.Contains(s.Do, "queue the message again")) {
			t.Errorf("%s: %+v", name, s)
		}
		if len(s.Doubts) != tc.doubts || strings.Contains(s.Happened, "  ") {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestEveryEndIsTold: each way to fail, each status and each reason to wait has its sentences.
func TestEveryEndIsTold(t *testing.T) {
	t.Parallel()
	for _, e := range comm.Edges() {
		if e.To == comm.Failed && ends[e.Cause].happened == "" {
			t.Errorf("%s is an end without words", e.Cause)
		}
		m := client.Stored{Status: e.To.String(), Events: []client.Event{{Type: e.Cause.String(), From: e.From.String(), To: e.To.String()}}}
		if s := Tell(&m, beside(time.Time.String, List{})); s.Happened == "" || s.Happened == m.Status || s.Next == "" {
			t.Errorf("%s by %s: %+v", m.Status, e.Cause, s)
		}
	}
	for _, w := range chain.WaitReasons() {
		if s := Tell(&client.Stored{Status: "QUEUED", WaitingFor: w.Word}, beside(time.Time.String, List{})); w.Word != chain.WaitRetry && !strings.Contains(s.Happened, w.Text) || s.Next == "" || s.Do != w.Remedy {
			t.Errorf("%s: %+v", w.Word, s)
		}
	}
	for _, rule := range provider.Rules() { // what does not end a message is tried again, and then somebody may have to do something
		m := client.Stored{Status: "QUEUED", WaitingFor: chain.WaitRetry, Attempts: 1, AttemptLog: []client.Attempt{{Attempt: 1, Outcome: "failed", ErrorCode: rule.Code}}}
		if s := Tell(&m, beside(time.Time.String, List{})); (rule.FailOver || rule.RetryLater) != (s.Do != "") {
			t.Errorf("after %s there is %q to do", rule.Name, s.Do)
		}
	}
	if s := Tell(&client.Stored{Status: "OF_TOMORROW"}, beside(time.Time.String, List{})); s.Happened != "OF_TOMORROW" {
		t.Errorf("%+v", s)
	}
	if words, detail := Line(&client.Event{Type: "of_tomorrow", Detail: " x "}); words != "of_tomorrow" || detail != "x" {
		t.Errorf("%q %q", words, detail)
	}
}

// TestPassedOver: the story says why the last call went past the configurations that come first.
func TestPassedOver(t *testing.T) {
	t.Parallel()
	call := func(n int, name, detail string) (client.Attempt, client.Event) {
		return client.Attempt{Attempt: n, Provider: "smtp", ConfigName: name, Outcome: "failed"}, client.Event{Type: comm.CauseAttemptStarted.String(), Attempt: n, Detail: detail}
	}
	for _, tc := range []struct{ status, name, detail, want string }{
		{"SENT", "Spare", "Spare, because Main relay asked to send more slowly", "Main relay asked to send more slowly, so Spare was tried instead."},
		{"SENDING", "Spare", "Spare, because Main relay fails or refuses the account", "Main relay fails or refuses the account, so Spare was tried instead."},
		{"DELIVERED", "Third", "Third, because Main relay does not answer and Spare has reached its limit for the day", "Main relay does not answer and Spare has reached its limit for the day, so Third was tried instead."},
		{"QUEUED", "Spare", "Spare, pinned by the operator, because Main relay is on trial after an outage", "Main relay is on trial after an outage, so Spare was tried instead."},
		{"FAILED", "", "the server's smtp, because the server's resend has credentials that cannot be read", "The server's resend has credentials that cannot be read, so the server's smtp was tried instead."},
		{"SENT", "Renamed", "Spare, because Main relay does not answer", "Main relay does not answer, so Spare was tried instead."},
		{"SENT", "Here, because cheap", "Here, because cheap, because Main relay does not answer", "Main relay does not answer, so Here, because cheap was tried instead."},
		{"SENT", "Here, because cheap", "Here, because cheap", ""},
		{"SENT", "Main relay", "Main relay", ""},
		{"SENT", "Main relay", "Main relay, again: it may have taken the message already and takes it only once", ""},
		{"CANCELLED", "Spare", "Spare, because Main relay does not answer", ""},
	} {
		m := client.Stored{Status: tc.status, ProviderName: "smtp", Attempts: 2}
		for n, detail := range []string{"Other, because Old relay does not answer", tc.detail} { // the last one is told of
			name := tc.name
			if n == 0 {
				name = "Other"
			}
			a, e := call(n+1, name, detail)
			m.AttemptLog, m.Events = append(m.AttemptLog, a), append(m.Events, e)
		}
		s := Tell(&m, beside(time.Time.String, List{}))
		if !strings.HasSuffix(s.Happened, tc.want) || strings.Contains(s.Happened, "instead") != (tc.want != "") {
			t.Errorf("%s: %q reads %q, want %q", tc.status, tc.detail, s.Happened, tc.want)
		}
	}
}

// TestTheOnlyOne: that a second configuration would help is said where there is none, and of a provider that is down.
func TestTheOnlyOne(t *testing.T) {
	t.Parallel()
	down := client.Stored{Status: "QUEUED", WaitingFor: chain.WaitDown}
	failed := func(class provider.Class) client.Stored {
		return client.Stored{Status: "QUEUED", WaitingFor: chain.WaitRetry, Attempts: 1, AttemptLog: []client.Attempt{{Attempt: 1, Outcome: "failed", ErrorCode: class.Rule().Code}}}
	}
	for name, tc := range map[string]struct {
		m    client.Stored
		help bool
	}{
		"down":          {down, true},
		"not reached":   {failed(provider.Transient), true},
		"unknown":       {failed(provider.Ambiguous), false},
		"switched off":  {client.Stored{Status: "QUEUED", WaitingFor: chain.WaitAppPaused}, false},
		"it is another": {client.Stored{Status: "SENT", AttemptLog: failed(provider.Transient).AttemptLog}, false},
	} {
		for _, alone := range []bool{true, false} {
			s := Tell(&tc.m, Beside{When: time.Time.String, Reports: reports, Alone: func() bool { return alone }})
			if strings.Contains(s.Do, "configuration. "+chain.Alone) != (tc.help && alone) || strings.Contains(s.Do, "only one") != (tc.help && alone) {
				t.Errorf("%s, the only one %v: %q", name, alone, s.Do)
			}
		}
	}
}
