package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
)

// causeText says in plain words what an event of a message's log means.
func causeText(c comm.Cause) string {
	switch c {
	case comm.CauseAccepted:
		return "accepted and stored"
	case comm.CauseAttemptStarted:
		return "handed to the provider"
	case comm.CauseAttemptFailed:
		return "not taken; the next provider is tried"
	case comm.CauseAttemptUnknown:
		return "no answer: nobody can tell whether the provider took it"
	case comm.CauseProviderAccepted:
		return "taken by the provider"
	case comm.CauseRetryTransient:
		return "failed for now; tried again later"
	case comm.CauseRetryUnknown:
		return "no answer; tried again, perhaps a second copy"
	case comm.CauseThrottled:
		return "the provider asked to slow down"
	case comm.CauseProviderRejected:
		return "refused for good"
	case comm.CauseExhausted:
		return "given up: the time for retries is over"
	case comm.CauseExpired:
		return "expired before it could be sent"
	case comm.CauseSuppressed:
		return "not sent: the address is on the suppression list"
	case comm.CauseCancelled, comm.CauseCancelledBeforeStart, comm.CauseCancelledAfterCleanFailure:
		return "cancelled"
	case comm.CauseCancelRequested:
		return "to be cancelled when the call under way has ended"
	case comm.CauseNoProvider:
		return "no provider configuration to send with"
	case comm.CauseContentGone:
		return "its content is gone"
	}
	return laterText(c)
}

func laterText(c comm.Cause) string {
	switch c {
	case comm.CauseOutcomeUnknown:
		return "ended unknown: perhaps sent, not tried again"
	case comm.CauseInternalError:
		return "the server could not send it"
	case comm.CauseRetryRequested:
		return "queued again on request"
	case comm.CauseReleased:
		return "back in the queue: the node stopped before anything was sent"
	case comm.CauseLateResult:
		return "an answer came late and changed nothing"
	case comm.CauseSettledByProof:
		return "proved to be taken by the provider"
	case comm.CauseLateProof:
		return "a report proved late that it was sent"
	case comm.CauseReportDelivered:
		return "delivered, the provider reports"
	case comm.CauseReportFailed:
		return "not delivered, the provider reports"
	case comm.CauseReportDuplicate:
		return "the provider reported the same again"
	case comm.CauseReportOutOfOrder:
		return "an older report came late"
	case comm.CauseComplaint:
		return "the recipient complained"
	case comm.CauseBouncedAfterDelivery:
		return "bounced after it was delivered"
	case comm.CauseReportNoted:
		return "the provider reported"
	case comm.CauseContentPurged:
		return "its content was removed by retention"
	case comm.CauseErased:
		return "erased on request"
	}
	return ""
}

// storyColumns is the head of a message's story.
func storyColumns() []column {
	return []column{
		{"ID", "id", plain}, {"App", "app.slug", plain}, {"Status", "status", status}, {"Channel", "channel", plain}, {"To", "toAddress", plain}, {"From", "fromAddress", plain},
		{"Subject", "subject", plain}, {"Template", "templateKey", plain}, {"Version", "templateVersion", plain}, {"Lane", "lane", plain}, {"Sandbox", "sandbox", yes},
		{"Created", "createdAt", when}, {"Scheduled", "scheduledAt", when}, {"Expires", "expiresAt", when}, {"Sent", "sentAt", when}, {"Delivered", "deliveredAt", when},
		{"Attempts", "attempts", plain}, {"Provider", "providerName", plain}, {"Reference", "providerMessageId", plain}, {"Segments", "segments", plain}, {"Encoding", "encoding", plain},
		{"Tags", "tags", plain}, {"Metadata", "metadata", plain}, {"Key", "idempotencyKey", plain}, {"Error", "errorMessage", plain},
	}
}

// story prints a message with what happened to it.
func (p *printer) story(raw json.RawMessage) error {
	if p.json || p.quiet {
		return p.one(raw, "id", nil)
	}
	doc, err := read(raw)
	if err != nil {
		return err
	}
	if err := p.one(raw, "id", storyColumns()); err != nil {
		return err
	}
	if _, err := io.WriteString(p.w, p.remarks(doc)); err != nil {
		return err
	}
	if err := p.timeline(doc); err != nil {
		return err
	}
	return p.attempts(doc)
}

// remarks is what a person should know beside the fields: why it waits, and what is uncertain.
func (p *printer) remarks(doc document) string {
	var b strings.Builder
	if word := doc.str("waitingFor"); word != "" {
		b.WriteString("\n" + clean(chain.WaitText(word)))
		if at, err := time.Parse(time.RFC3339Nano, doc.str("nextAttemptAt")); err == nil {
			b.WriteString(" Next attempt: " + p.time(at) + p.until(at) + ".")
		}
		b.WriteString("\n")
	}
	if doc.at("possibleDuplicate") == true {
		b.WriteString("\nAn attempt had no answer and was repeated, or will be: the recipient may get it twice.\n")
	}
	if doc.at("mayHaveBeenSent") == true {
		b.WriteString("\nAn attempt had no answer: the recipient may have got it all the same.\n")
	}
	if doc.at("unconfirmed") == true {
		b.WriteString("\nThe provider took it and should have reported by now what became of it; it has not.\n")
	}
	return b.String()
}

func (p *printer) until(at time.Time) string {
	left := at.Sub(p.now()).Round(time.Second)
	if left <= 0 {
		return ""
	}
	return " (in " + left.String() + ")"
}

func (p *printer) timeline(doc document) error {
	events, _ := doc.at("events").([]any)
	if len(events) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(p.w, "\n"+p.paint("What happened", bold)); err != nil {
		return err
	}
	for _, one := range events {
		fields, _ := one.(map[string]any)
		e := document(fields)
		words := clean(e.str("type")) // of a newer server
		if cause, known := comm.ParseCause(e.str("type")); known {
			words = causeText(cause)
		}
		line := "  " + p.text(e.at("at"), when) + "  "
		if to := e.str("to"); to != "" && to != e.str("from") {
			line += p.state(pad(clean(to), stateWidth), to, status)
		} else {
			line += pad("", stateWidth)
		}
		line += "  " + words
		if provider := e.str("provider"); provider != "" {
			line += " (" + clean(provider) + ")"
		}
		if detail := strings.TrimSpace(e.str("detail")); detail != "" {
			line += ": " + clean(detail)
		}
		if _, err := fmt.Fprintln(p.w, line); err != nil {
			return err
		}
	}
	return nil
}

// stateWidth is the longest name of a state.
const stateWidth = len("SUPPRESSED")

func (p *printer) attempts(doc document) error {
	log, _ := doc.at("attemptLog").([]any)
	if len(log) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(p.w, "\n"+p.paint("Provider calls", bold)); err != nil {
		return err
	}
	rows := p.rows("attempt", []column{{"TRY", "attempt", plain}, {"PROVIDER", "provider", plain}, {"STARTED", "startedAt", when}, {"ENDED", "endedAt", when},
		{"OUTCOME", "outcome", status}, {"REFERENCE", "providerMessageId", plain}, {"CODE", "errorCode", plain}, {"DETAIL", "detail", plain}})
	for _, one := range log {
		raw, err := json.Marshal(one)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if err := rows.add(raw); err != nil {
			return err
		}
	}
	return rows.end()
}
