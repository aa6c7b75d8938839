package suppress

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/strictjson"
)

// Format is how a list is written.
type Format uint8

// The formats.
const (
	CSV       Format = iota + 1 // RFC 4180 with a header line
	JSONLines                   // one object on each line
)

// columns are the header of a CSV export. Of an import source and createdAt say nothing: it is a source of its own.
func columns() []string {
	return []string{"channel", "address", "reason", "note", "source", "createdAt"}
}

// Bounds of an import: a line, how many refused lines are listed, and how many end it:
// a file with so many is another one than was meant.
const (
	maxLine    = 16 << 10
	maxListed  = 100
	maxRefused = 10_000
)

// The store rests for restTimes as long as each slice took, at most longestRest: all
// imports of this process together have a quarter of its time.
const (
	restTimes   = 3
	longestRest = time.Second
)

// Report is what became of an import.
type Report struct {
	Added, Present, Refused int
	Errors                  []LineError // the first of the refused lines
}

// LineError is a refused line, counted from 1 with the header.
type LineError struct {
	Line int
	Err  *comm.Error
}

func (r *Report) refuse(line int, err error) {
	r.Refused++
	if e, ok := errors.AsType[*comm.Error](err); ok && len(r.Errors) < maxListed {
		r.Errors = append(r.Errors, LineError{line, e})
	}
}

// Import adds every line to the app's list, in transactions of a few milliseconds. A
// line that is wrong is refused by itself. The error ends the import: what was added
// before stays, as the report tells, and repeating it is safe.
func (s *Service) Import(ctx context.Context, app comm.ID, from io.Reader, f Format) (Report, error) {
	var report Report
	next := jsonLines(from)
	if f == CSV {
		var err error
		if next, err = csvLines(from); err != nil {
			return report, err
		}
	}
	slice := make([]store.Suppression, 0, store.SuppressMost)
	for {
		line, entry, refused, err := next()
		if errors.Is(err, io.EOF) {
			return report, s.flush(ctx, slice, &report)
		}
		if err != nil {
			return report, errors.Join(err, s.flush(ctx, slice, &report))
		}
		x, wrong := store.Suppression{}, refused
		if wrong == nil {
			x, wrong = s.read(app, entry, comm.SuppressByImport)
		}
		if wrong != nil {
			if report.refuse(line, wrong); report.Refused >= maxRefused {
				return report, errors.Join(tooManyWrong(line, &report), s.flush(ctx, slice, &report))
			}
			continue
		}
		if slice = append(slice, x); len(slice) == cap(slice) {
			if err := s.flush(ctx, slice, &report); err != nil {
				return report, err
			}
			slice = slice[:0]
		}
	}
}

func tooManyWrong(line int, r *Report) error {
	e := comm.E("invalid_import", "The import ended at line %d: %d lines of it are wrong. What was added stays; mend the file and send it again.", line, r.Refused).With("line", line)
	if len(r.Errors) > 0 {
		e.Text += " The first wrong line is line " + strconv.Itoa(r.Errors[0].Line) + "."
	}
	return e
}

// flush stores a slice, and then leaves the store to others for three times as long:
// an import is never in a hurry, and accepts wait behind each of its transactions. Imports
// take turns at this, so that many of them take no more of the store than one.
func (s *Service) flush(ctx context.Context, slice []store.Suppression, r *Report) error {
	if len(slice) == 0 {
		return nil
	}
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	began := time.Now()
	added, err := s.cfg.Store.SuppressAll(ctx, slice)
	if err != nil {
		return err
	}
	r.Added += added
	r.Present += len(slice) - added
	rest := time.NewTimer(min(restTimes*time.Since(began), longestRest))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done(): // the next slice says so
	}
	return nil
}

// lines reads the next entry. refused says what is wrong with this line alone, err ends the file.
type lines func() (line int, entry *Entry, refused, err error)

func tooLong(line int) error {
	return comm.E("invalid_import", "Line %d is longer than 16 KiB.", line).With("line", line)
}

// importEntry is a line of a JSON export.
type importEntry struct {
	Entry
	Source    strictjson.Nullable[string] `json:"source"`
	CreatedAt strictjson.Nullable[string] `json:"createdAt"`
}

func jsonLines(from io.Reader) lines {
	next := textLines(from)
	return func() (int, *Entry, error, error) {
		line, text, err := next()
		if err != nil {
			return line, nil, nil, err
		}
		var e importEntry
		return line, &e.Entry, strictjson.Decode(text, &e, EntryCodes()), nil
	}
}

// textLines reads the lines that hold anything, each valid until the next; the error is io.EOF at the end.
// What stands in a line that the reader broke off in is not a line: half a number is another number.
func textLines(from io.Reader) func() (line int, text []byte, err error) {
	whole := &toItsEnd{from: from}
	sc := bufio.NewScanner(whole)
	sc.Buffer(make([]byte, 0, 4<<10), maxLine)
	sc.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if whole.broken && atEOF && bytes.IndexByte(data, '\n') < 0 {
			return len(data), nil, nil
		}
		return bufio.ScanLines(data, atEOF)
	})
	line := 0
	return func() (int, []byte, error) {
		for sc.Scan() {
			line++
			if text := bytes.TrimSpace(sc.Bytes()); len(text) > 0 {
				return line, text, nil
			}
		}
		switch err := sc.Err(); {
		case err == nil:
			return line, nil, io.EOF
		case errors.Is(err, bufio.ErrTooLong):
			return line, nil, tooLong(line + 1)
		default:
			return line, nil, err
		}
	}
}

// toItsEnd is a reader that remembers whether it ended otherwise than at its end.
type toItsEnd struct {
	from   io.Reader
	broken bool
}

// Read implements io.Reader.
func (r *toItsEnd) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.broken = err != nil && !errors.Is(err, io.EOF)
	return n, err
}

// wrongHeader is the error of a file that does not begin with its columns.
func wrongHeader() error {
	return comm.E("invalid_import", "The first line must name the columns, with commas between them: channel, address and, if you like, reason and note.").With("line", 1)
}

// csvLines reads a record from each line. RFC 4180 lets a quoted field go on in the next
// line; no column here needs that, and a quote that was forgotten would take all
// lines up to the next one, opt-outs among them, for one field.
func csvLines(from io.Reader) (lines, error) {
	in := bufio.NewReader(from)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" { // as spreadsheets write it
		_, _ = in.Discard(3)
	}
	next := textLines(in)
	_, text, err := next()
	if errors.Is(err, io.EOF) {
		return nil, wrongHeader()
	}
	if err != nil {
		return nil, err
	}
	header, err := record(string(text))
	if err != nil {
		return nil, wrongHeader()
	}
	place := map[string]int{}
	for i, field := range header {
		at := slices.IndexFunc(columns(), func(name string) bool { return strings.EqualFold(name, strings.TrimSpace(field)) })
		if at < 0 {
			return nil, wrongHeader()
		}
		name := columns()[at]
		if _, twice := place[name]; twice {
			return nil, wrongHeader()
		}
		place[name] = i
	}
	_, channel := place["channel"]
	if _, address := place["address"]; !channel || !address {
		return nil, wrongHeader()
	}
	return func() (int, *Entry, error, error) {
		line, text, err := next()
		if err != nil {
			return line, nil, nil, err
		}
		fields, err := record(string(text))
		switch {
		case err != nil:
			return line, nil, comm.E("invalid_import", "The quotes of this line are not as in RFC 4180; a field ends on its line.").With("line", line), nil
		case len(fields) != len(header):
			return line, nil, comm.E("invalid_import", "This line has %d fields, the header has %d.", len(fields), len(header)).With("line", line), nil
		}
		e := &Entry{}
		for name, to := range map[string]*strictjson.Opt[string]{"channel": &e.Channel, "address": &e.Address, "reason": &e.Reason.Opt, "note": &e.Note.Opt} {
			i, ok := place[name]
			if !ok || fields[i] == "" {
				continue
			}
			*to = strictjson.Opt[string]{Value: plain(fields[i]), Given: true}
			if name != "note" { // which is kept as it was written
				to.Value = strings.TrimSpace(to.Value)
				to.Given = to.Value != ""
			}
		}
		return line, e, nil, nil
	}, nil
}

// record splits a line into its fields.
func record(line string) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, ","), nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.FieldsPerRecord = -1
	return r.Read()
}

// A spreadsheet takes a field that begins with one of these for a formula; the quote
// itself is among them so that every field comes back as it was.
const formula = "=+-@\t\r'"

// guarded is a field as an export writes it.
func guarded(field string) string {
	if field != "" && strings.IndexByte(formula, field[0]) >= 0 {
		return "'" + field
	}
	return field
}

// plain is the field that guarded was given.
func plain(field string) string {
	if len(field) > 1 && field[0] == '\'' && strings.IndexByte(formula, field[1]) >= 0 {
		return field[1:]
	}
	return field
}
