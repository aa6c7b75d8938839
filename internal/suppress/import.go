package suppress

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"slices"
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

// Bounds of an import: a line, and how many refused lines are listed.
const (
	maxLine   = 16 << 10
	maxListed = 100
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
			report.refuse(line, wrong)
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

// flush stores a slice, and then leaves the store to others for as long as that took:
// an import is never in a hurry, and accepts wait behind each of its transactions.
func (s *Service) flush(ctx context.Context, slice []store.Suppression, r *Report) error {
	began := time.Now()
	added, err := s.cfg.Store.SuppressAll(ctx, slice)
	if err != nil {
		return err
	}
	r.Added += added
	r.Present += len(slice) - added
	rest := time.NewTimer(time.Since(began))
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
	sc := bufio.NewScanner(from)
	sc.Buffer(make([]byte, 0, 4<<10), maxLine)
	line := 0
	return func() (int, *Entry, error, error) {
		for sc.Scan() {
			line++
			text := bytes.TrimSpace(sc.Bytes())
			if len(text) == 0 {
				continue
			}
			var e importEntry
			err := strictjson.Decode(text, &e, EntryCodes())
			return line, &e.Entry, err, nil
		}
		switch err := sc.Err(); {
		case err == nil:
			return line, nil, nil, io.EOF
		case errors.Is(err, bufio.ErrTooLong):
			return line, nil, nil, tooLong(line + 1)
		default:
			return line, nil, nil, err
		}
	}
}

// measured gives out at most left bytes: a record cannot grow without bounds.
type measured struct {
	from io.Reader
	left int
}

var errLong = errors.New("a record is too long")

// Read implements io.Reader.
func (m *measured) Read(b []byte) (int, error) {
	if m.left <= 0 {
		return 0, errLong
	}
	n, err := m.from.Read(b[:min(len(b), m.left)])
	m.left -= n
	return n, err
}

func csvLines(from io.Reader) (lines, error) {
	m := &measured{left: 2 * maxLine}
	in := bufio.NewReader(from)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" { // as spreadsheets write it
		_, _ = in.Discard(3)
	}
	m.from = in
	r := csv.NewReader(m)
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	header, err := r.Read()
	if err != nil {
		return nil, csvEnd(err, 1)
	}
	place := map[string]int{}
	for i, name := range header {
		if _, twice := place[name]; twice || !slices.Contains(columns(), name) {
			return nil, comm.E("invalid_import", "The first line must name the columns: channel, address and, if you like, reason and note.").With("line", 1)
		}
		place[name] = i
	}
	_, channel := place["channel"]
	if _, address := place["address"]; !channel || !address {
		return nil, comm.E("invalid_import", "The first line must name the columns: channel, address and, if you like, reason and note.").With("line", 1)
	}
	width, line := len(header), 1
	return func() (int, *Entry, error, error) {
		m.left = 2 * maxLine
		record, err := r.Read()
		if parse, ok := errors.AsType[*csv.ParseError](err); ok && !errors.Is(err, errLong) {
			line = parse.StartLine
			return line, nil, comm.E("invalid_import", "The quotes of this line are not as in RFC 4180.").With("line", line), nil
		}
		if err != nil {
			return line, nil, nil, csvEnd(err, line+1)
		}
		if line, _ = r.FieldPos(0); len(record) != width {
			return line, nil, comm.E("invalid_import", "This line has %d fields, the header has %d.", len(record), width).With("line", line), nil
		}
		e := &Entry{}
		for name, to := range map[string]*strictjson.Opt[string]{"channel": &e.Channel, "address": &e.Address, "reason": &e.Reason.Opt, "note": &e.Note.Opt} {
			if i, ok := place[name]; ok && record[i] != "" {
				*to = strictjson.Opt[string]{Value: plain(record[i]), Given: true}
			}
		}
		return line, e, nil, nil
	}, nil
}

// csvEnd is the error that ends a file.
func csvEnd(err error, line int) error {
	_, unreadable := errors.AsType[*csv.ParseError](err)
	switch {
	case errors.Is(err, errLong):
		return tooLong(line)
	case line == 1 && (unreadable || errors.Is(err, io.EOF)):
		return comm.E("invalid_import", "The first line must name the columns: channel, address and, if you like, reason and note.").With("line", 1)
	}
	return err
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
