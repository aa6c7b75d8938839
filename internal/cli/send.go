package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

const sendHelp = `Sends an email or an SMS. It is an email when the recipient has an @, or as --channel says. --body and --html-file are the
HTML of an email, --text-file is its plain text; for an SMS --body is the text.

Without --idempotency-key one is made and said on standard error: repeating the command with it cannot send a second message.

"Queued" is not delivered: --wait follows the message until nothing more is tried (30 seconds, or --wait=2m) and shows its story. Then
the exit code is 0 for SENT and DELIVERED, 7 for FAILED, SUPPRESSED and CANCELLED, 8 when it is still under way.

--file sends many: one message per line, as JSON with the fields of the API. Lines without an idempotencyKey get one from --idempotency-key
and their number, so that the same command may be repeated after an interruption.`

const sendExample = `  commserver message send --to ama@example.com --subject 'Request approved' --html-file approved.html --wait
  commserver message send --to 233241234567 --body 'Your code is 482913' --lane CRITICAL --ttl 5m
  commserver message send --to 233241234567 --template request-approved --var firstName=Ama --var reference=REQ-0042
  echo '<p>Report</p>' | commserver message send --to ops@example.com --subject Report --body-file - --attach report.pdf
  commserver message send --file batch.jsonl --idempotency-key july-invoices`

// sendFlags are the words of one message.
type sendFlags struct {
	channel, to, subject, body, bodyFile, htmlFile, textFile string
	template, from, replyTo, lane, at, key, file             string
	vars, cc, bcc, attach, headers, tags, metadata           []string
	ttl, wait                                                time.Duration
}

func sendCommand(s Streams) *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{Use: "send", Short: "Send an email or an SMS", Long: sendHelp, Example: sendExample, Args: cobra.NoArgs}
	f.bind(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&f.wait, "wait", 0, "follow the message for so long")
	flags.Lookup("wait").NoOptDefVal = "30s"
	flags.StringVar(&f.file, "file", "", "file with one message per line as JSON, - for standard input")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		if f.file != "" {
			return sendFile(ctx, r, f)
		}
		return sendOne(ctx, r, f)
	})
	return cmd
}

// bind gives a command the flags of one message.
func (f *sendFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "recipient: an email address or an international phone number")
	flags.StringVar(&f.channel, "channel", "", "EMAIL or SMS; default: by the recipient")
	flags.StringVar(&f.subject, "subject", "", "subject of an email")
	flags.StringVar(&f.body, "body", "", "HTML of an email, text of an SMS")
	flags.StringVar(&f.bodyFile, "body-file", "", "file that holds the body, - for standard input")
	flags.StringVar(&f.htmlFile, "html-file", "", "the same for an email")
	flags.StringVar(&f.textFile, "text-file", "", "file that holds the plain text of an email, - for standard input")
	flags.StringVar(&f.template, "template", "", "key of a template, instead of a body")
	flags.StringArrayVar(&f.vars, "var", nil, "name=value of a placeholder; may be repeated")
	flags.StringVar(&f.from, "from", "", "sender")
	flags.StringSliceVar(&f.cc, "cc", nil, "copy to; may be repeated")
	flags.StringSliceVar(&f.bcc, "bcc", nil, "blind copy to; may be repeated")
	flags.StringVar(&f.replyTo, "reply-to", "", "address for answers")
	flags.StringArrayVar(&f.attach, "attach", nil, "file to attach to an email; may be repeated")
	flags.StringArrayVar(&f.headers, "header", nil, "'Name: value' of an email; may be repeated")
	flags.StringSliceVar(&f.tags, "tag", nil, "tag; may be repeated")
	flags.StringArrayVar(&f.metadata, "metadata", nil, "name=value, or a JSON object; may be repeated")
	flags.StringVar(&f.lane, "lane", "", "CRITICAL, NORMAL or BULK")
	flags.DurationVar(&f.ttl, "ttl", 0, "do not send it later than this, such as 5m")
	flags.StringVar(&f.at, "at", "", "send it at this time, such as 2026-07-03T10:00:00Z, or in so long, such as 90m")
	flags.StringVar(&f.key, "idempotency-key", "", "name of the business event; default: one is made")
	flags.SortFlags = false
	for name, values := range map[string][]string{"channel": {client.Email, client.SMS}, "lane": {"CRITICAL", "NORMAL", "BULK"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	}
}

func sendOne(ctx context.Context, r *remote, f sendFlags) error {
	if f.wait < 0 {
		return usagef("--wait must be longer than nothing, such as --wait=30s")
	}
	body, err := f.message(r.s)
	if err != nil {
		return err
	}
	if f.key == "" {
		key := client.NewIdempotencyKey()
		body["idempotencyKey"] = key
		r.note("Idempotency key made: %s", key)
	}
	raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: messagePath, Body: body, Safe: true})
	if err != nil {
		return err
	}
	doc, err := read(raw)
	if err != nil {
		return err
	}
	if doc.str("id") == "" {
		return errors.New("the answer names no message: nobody knows whether one is stored; is this a CommServer?")
	}
	r.warn(doc)
	if doc.at("deduplicated") == true {
		r.note("This key was used before: nothing new is sent.")
	}
	if f.wait > 0 {
		return r.follow(ctx, doc.str("id"), f.wait)
	}
	return r.out.one(raw, "id", []column{{"ID", "id", plain}, {"Status", "status", status}, {"Segments", "segments", plain}, {"Encoding", "encoding", plain}})
}

// warn tells the warnings of an answer.
func (r *remote) warn(doc document) {
	warnings, _ := doc.at("warnings").([]any)
	for _, one := range warnings {
		if fields, ok := one.(map[string]any); ok {
			w := document(fields)
			r.note("Warning: %s (%s)", clean(w.str("message")), clean(w.str("code")))
		}
	}
}

// Pauses between two looks at a message that is waited for.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = 2 * time.Second
)

// follow looks at a message until nothing more is tried or the time is over, and prints its story.
func (r *remote) follow(ctx context.Context, id string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	shown := ""
	for pause := firstLook; ; pause = min(pause*2, lastLook) {
		raw, err := r.get(ctx, messagePath+"/"+client.Escape(id), false)
		if err != nil {
			return fmt.Errorf("the message %s is stored, but could not be followed: %w", id, err)
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		state := doc.str("status")
		left := time.Until(deadline)
		final := state != "QUEUED" && state != "SENDING"
		if final || left <= 0 {
			r.progress(shown, "")
			if err := r.out.story(raw); err != nil {
				return err
			}
			return waitEnd(state, final)
		}
		text := state
		if word := doc.str("waitingFor"); word != "" {
			text += " (" + word + ")"
		}
		shown = r.progress(shown, clean(text))
		if err := pauseFor(ctx, min(pause, left)); err != nil {
			return err
		}
	}
}

func waitEnd(state string, final bool) error {
	switch {
	case !final:
		return codedError{fmt.Errorf("the message is still %s; look again with `commserver message get`", state), exitWaiting}
	case state != "SENT" && state != "DELIVERED":
		return codedError{fmt.Errorf("the message ended %s", clean(state)), exitBadEnd}
	}
	return nil
}

func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// clearLine begins a terminal's line anew.
const clearLine = "\r\x1b[K"

// progress replaces the line that a person at a terminal sees; programs see nothing.
func (r *remote) progress(shown, text string) string {
	if r.term.Err && !r.out.quiet && text != shown {
		fmt.Fprint(r.s.Err, clearLine+text)
	}
	return text
}

// message makes the body of the request.
func (f sendFlags) message(s Streams) (map[string]any, error) {
	if f.to == "" {
		return nil, usagef("--to is needed: an email address or an international phone number")
	}
	body := map[string]any{"channel": f.channel, "to": f.to}
	if f.channel == "" {
		body["channel"] = client.SMS
		if strings.Contains(f.to, "@") {
			body["channel"] = client.Email
		}
	}
	for name, text := range map[string]string{"subject": f.subject, "templateKey": f.template, "from": f.from, "replyTo": f.replyTo,
		"lane": f.lane, "idempotencyKey": f.key} {
		if text != "" {
			body[name] = text
		}
	}
	for name, list := range map[string][]string{"cc": f.cc, "bcc": f.bcc, "tags": f.tags} {
		if len(list) > 0 {
			body[name] = list
		}
	}
	return body, errors.Join(f.content(s, body), f.times(s, body), f.extras(body))
}

// contentLimit is a little over what the server takes, so that it is the one who refuses.
const contentLimit = 17 << 20

func (f sendFlags) content(s Streams, body map[string]any) error {
	given, stdin := 0, 0
	for _, text := range []string{f.body, f.bodyFile, f.htmlFile} {
		if text != "" {
			given++
		}
	}
	for _, path := range []string{f.bodyFile, f.htmlFile, f.textFile} {
		if path == "-" {
			stdin++
		}
	}
	switch {
	case given > 1:
		return usagef("--body, --body-file and --html-file exclude each other; keep one of them")
	case stdin > 1:
		return usagef("only one file can be standard input")
	case given == 0 && f.template == "":
		return usagef("the message has no content; give --body, --body-file, --html-file or --template")
	}
	if f.body != "" {
		body["body"] = f.body
	}
	for _, one := range []struct{ flag, path, field string }{
		{"--body-file", f.bodyFile, "body"}, {"--html-file", f.htmlFile, "body"}, {"--text-file", f.textFile, "text"},
	} {
		if one.path == "" {
			continue
		}
		content, err := s.file(one.path)
		if err != nil {
			return usagef("%s: %w", one.flag, err)
		}
		body[one.field] = string(content)
	}
	return nil
}

// file reads a file, or standard input for "-", as long as a message can be.
func (s Streams) file(path string) ([]byte, error) {
	from := s.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // only read
		from = f
	}
	content, err := io.ReadAll(io.LimitReader(from, contentLimit+1))
	if err == nil && len(content) > contentLimit {
		err = errors.New("is larger than any message may be")
	}
	return content, err
}

func (f sendFlags) times(s Streams, body map[string]any) error {
	if f.ttl != 0 {
		if f.ttl < time.Second {
			return usagef("--ttl must be 1s or more")
		}
		body["ttlSeconds"] = int64(f.ttl / time.Second)
	}
	if f.at == "" {
		return nil
	}
	at, err := readTime(f.at, s.now(), 1)
	if err != nil {
		return usagef("--at: %w", err)
	}
	body["scheduledAt"] = at.UTC().Format("2006-01-02T15:04:05.000Z")
	return nil
}

func (f sendFlags) extras(body map[string]any) error {
	variables, err := pairs("--var", "=", f.vars)
	if err != nil {
		return err
	}
	if len(variables) > 0 {
		body["variables"] = variables
	}
	headers, err := pairs("--header", ":", f.headers)
	if err != nil {
		return err
	}
	if len(headers) > 0 {
		body["headers"] = headers
	}
	if len(f.metadata) > 0 {
		if body["metadata"], err = readMetadata(f.metadata); err != nil {
			return err
		}
	}
	if len(f.attach) == 0 {
		return nil
	}
	body["attachments"], err = readAttachments(f.attach)
	return err
}

// pairs reads name and value, each name once.
func pairs(flag, separator string, words []string) (map[string]string, error) {
	all := map[string]string{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, separator)
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, usagef("%s %q: write it as name%svalue", flag, word, separator)
		}
		if _, twice := all[name]; twice {
			return nil, usagef("%s: %s is given twice", flag, name)
		}
		if separator == ":" {
			value = strings.TrimSpace(value)
		}
		all[name] = value
	}
	return all, nil
}

func readMetadata(words []string) (any, error) {
	if len(words) == 1 && strings.HasPrefix(strings.TrimSpace(words[0]), "{") {
		if !json.Valid([]byte(words[0])) {
			return nil, usagef("--metadata is no JSON object")
		}
		return json.RawMessage(words[0]), nil
	}
	return pairs("--metadata", "=", words)
}

func readAttachments(paths []string) ([]map[string]string, error) {
	var all []map[string]string
	total := 0
	for _, path := range paths {
		if path == "-" {
			return nil, usagef("--attach needs a file with a name")
		}
		content, err := Streams{}.file(path)
		if err != nil {
			return nil, usagef("--attach: %w", err)
		}
		if total += len(content); total > contentLimit {
			return nil, usagef("--attach: the files together are larger than a message may be")
		}
		kind := mime.TypeByExtension(filepath.Ext(path))
		if kind == "" {
			kind = "application/octet-stream"
		}
		all = append(all, map[string]string{"filename": filepath.Base(path), "contentType": kind, "content": base64.StdEncoding.EncodeToString(content)})
	}
	return all, nil
}
