package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/story"
)

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
	for _, doubt := range story.Doubts(doc.str("status"), doc.at("possibleDuplicate") == true, doc.at("mayHaveBeenSent") == true, doc.at("unconfirmed") == true) {
		b.WriteString("\n" + doubt + "\n")
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
			words = story.CauseText(cause)
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
	rows := p.rows("attempt", []column{{"TRY", "attempt", plain}, {"PROVIDER", "provider", plain}, {"CONFIGURATION", "configName", plain}, {"STARTED", "startedAt", when}, {"ENDED", "endedAt", when},
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
