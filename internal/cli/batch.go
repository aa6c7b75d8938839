package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"

	"github.com/commserver/commserver/client"
)

// Bounds of one request of a batch, below what the server takes.
const (
	batchItems = 1000
	batchBytes = 12 << 20
	lineLimit  = 1 << 20
)

// batchPause is how long to wait when the app's rate is used up and the server does not say.
const batchPause = 5 * time.Second

// batch sends the lines of a file.
type batch struct {
	r       *remote
	prefix  string // of made keys
	rows    *rows
	bar     *progressbar.ProgressBar
	items   []json.RawMessage
	lines   []int // of the file, of each item
	bytes   int
	sent    int
	refused int
}

// sendFile sends every line of a file, batch by batch. A line that is refused is
// told with its number and does not keep the others from being sent.
func sendFile(ctx context.Context, r *remote, f sendFlags) error {
	var given []string
	r.cmd.LocalNonPersistentFlags().VisitAll(func(one *pflag.Flag) {
		if one.Changed && one.Name != "file" && one.Name != "idempotency-key" {
			given = append(given, "--"+one.Name)
		}
	})
	if len(given) > 0 {
		return usagef("--file has whole messages: %s cannot be given beside it; write it into the lines, as the API names it", strings.Join(given, ", "))
	}
	in := r.s.In
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return usagef("--file: %w", err)
		}
		defer func() { _ = file.Close() }() // only read
		in = file
	}
	b := &batch{r: r, prefix: f.key, rows: r.out.rows("id", []column{{"ID", "id", plain}, {"STATUS", "status", status}, {"LINE", "line", plain}})}
	if b.prefix == "" {
		b.prefix = client.NewIdempotencyKey()
		r.note("Idempotency key made: %s. To go on after an interruption, repeat the command with --idempotency-key %s.", b.prefix, b.prefix)
	}
	if r.term.Err && !r.out.quiet {
		b.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(r.s.Err), progressbar.OptionSetDescription("messages"), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
	}
	err := b.read(ctx, in)
	if b.bar != nil {
		_ = b.bar.Finish() // only drawing
	}
	err = b.rows.finish(err)
	r.note("%d queued, %d refused.", b.sent, b.refused)
	if err != nil {
		return err
	}
	if b.refused > 0 {
		return codedError{fmt.Errorf("%d lines were refused; see above", b.refused), exitRefused}
	}
	return nil
}

func (b *batch) read(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, lineLimit)
	n := 1
	for ; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		item, err := b.item(line, n)
		if err != nil {
			return b.wrongLine(ctx, n, err)
		}
		if len(b.items) == batchItems || b.bytes+len(item) > batchBytes {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
		b.items, b.lines, b.bytes = append(b.items, item), append(b.lines, n), b.bytes+len(item)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return b.wrongLine(ctx, n, errors.New("is longer than 1 MiB"))
	case err != nil:
		return errors.Join(fmt.Errorf("read the file: %w", err), b.flush(ctx))
	}
	return b.flush(ctx)
}

// wrongLine sends what stands before a line that ends the file, and says whether that went well.
func (b *batch) wrongLine(ctx context.Context, n int, why error) error {
	if err := b.flush(ctx); err != nil {
		return fmt.Errorf("line %d %w; nor are all lines before it sent: %w", n, why, err)
	}
	return usagef("line %d %w; the lines before it are sent", n, why)
}

// item gives a line its idempotency key where it has none.
func (b *batch) item(line []byte, n int) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil || fields == nil {
		return nil, errors.New("must be one JSON object")
	}
	if key, given := fields["idempotencyKey"]; given && !bytes.Equal(key, []byte("null")) {
		return bytes.Clone(line), nil
	}
	key, err := json.Marshal(fmt.Sprintf("%s-%d", b.prefix, n))
	if err != nil {
		return nil, err
	}
	fields["idempotencyKey"] = key
	return json.Marshal(fields)
}

// flush sends what was gathered, again what the rate refused.
func (b *batch) flush(ctx context.Context) error {
	for len(b.items) > 0 {
		raw, err := b.r.call(ctx, client.Request{Method: http.MethodPost, Path: messagePath + "/batch", Body: map[string]any{"messages": b.items}, Safe: true, Timeout: time.Minute})
		wait := batchPause
		switch refused, ok := errors.AsType[*client.Error](err); {
		case ok && refused.Code == "rate_limited":
			wait = max(refused.RetryAfter, time.Second)
		case err != nil:
			return err
		default:
			if err := b.take(raw); err != nil {
				return err
			}
		}
		if len(b.items) > 0 {
			if err := pauseFor(ctx, wait); err != nil {
				return err
			}
		}
	}
	b.bytes = 0
	return nil
}

// take reads the answer to a batch and keeps what is to be sent again.
func (b *batch) take(raw json.RawMessage) error {
	var answer struct {
		Data []struct {
			Index   int    `json:"index"`
			ID      string `json:"id"`
			Status  string `json:"status"`
			Error   string `json:"error"`
			Details struct {
				Code string `json:"code"`
			} `json:"details"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(answer.Data) != len(b.items) {
		return fmt.Errorf("the server answered for %d of %d messages; repeat the command with the same key", len(answer.Data), len(b.items))
	}
	var again []json.RawMessage
	var lines []int
	for _, one := range answer.Data {
		if one.Index < 0 || one.Index >= len(b.items) {
			return errors.New("the server answered for a message that was not sent")
		}
		line := b.lines[one.Index]
		switch {
		case one.Details.Code == "rate_limited":
			again, lines = append(again, b.items[one.Index]), append(lines, line)
			continue
		case one.Error != "":
			b.refused++
			b.r.note("line %d: %s (%s)", line, clean(one.Error), clean(one.Details.Code))
		default:
			b.sent++
			if err := b.row(one.ID, one.Status, line); err != nil {
				return err
			}
		}
		if b.bar != nil {
			_ = b.bar.Add(1) // only drawing
		}
	}
	b.items, b.lines = again, lines
	return nil
}

func (b *batch) row(id, state string, line int) error {
	raw, err := json.Marshal(map[string]any{"id": id, "status": state, "line": line})
	if err != nil {
		return err
	}
	return b.rows.add(raw)
}
