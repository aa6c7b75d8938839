package suppress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// slow is a store whose writer takes its time.
type slow struct {
	store.Suppressions
	takes time.Duration
	err   error // of every slice after the first

	mu     sync.Mutex // the writer
	busy   atomic.Int64
	slices atomic.Int64
	rows   atomic.Int64
}

func (s *slow) SuppressAll(_ context.Context, all []store.Suppression) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	time.Sleep(s.takes)
	s.busy.Add(int64(s.takes))
	if s.slices.Add(1) > 1 && s.err != nil {
		return 0, s.err
	}
	s.rows.Add(int64(len(all)))
	return len(all), nil
}

// brokenOff is a file of which no more arrives.
type brokenOff struct {
	text *strings.Reader
	err  error
}

func (b brokenOff) Read(p []byte) (int, error) {
	n, err := b.text.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.err
	}
	return n, err
}

// TestHalfALineIsNoLine: the beginning of a number is another number. What is left of a line that a
// connection broke off in is not taken, and is not said to be wrong.
func TestHalfALineIsNoLine(t *testing.T) {
	t.Parallel()
	gone := errors.New("the connection broke off")
	for name, c := range map[string]struct {
		text   string
		format Format
		added  int
	}{
		"in a number":      {"channel,address\nSMS,233241234567\nSMS,2332412", CSV, 1},
		"after a line":     {"channel,address\nSMS,233241234567\n", CSV, 1},
		"in the header":    {"channel,addr", CSV, 0},
		"in the first row": {"channel,address\nSMS,2332412", CSV, 0},
		"in an object":     {good + "\n" + good[:20], JSONLines, 1},
		"behind an object": {good + "\n" + good, JSONLines, 1},
	} {
		s := &slow{}
		report, err := New(Config{Store: s}).Import(t.Context(), comm.ID{1}, brokenOff{strings.NewReader(c.text), gone}, c.format)
		if !errors.Is(err, gone) || report.Added != c.added || report.Refused != 0 || int(s.rows.Load()) != c.added {
			t.Errorf("%s: %+v %v, %d rows; want %d added", name, report, err, s.rows.Load(), c.added)
		}
		report, err = New(Config{Store: &slow{}}).Import(t.Context(), comm.ID{1}, strings.NewReader(good), JSONLines)
		if err != nil || report.Added != 1 {
			t.Errorf("a last line without its end: %+v %v", report, err)
		}
	}
}

func linesOf(n int, line string) string { return strings.Repeat(line+"\n", n) }

const good, bad = `{"channel":"SMS","address":"233241234567"}`, `{"channel":"FAX"}`

// TestImportsLeaveTheStoreToOthers: however many go on, a quarter of the writer's time is theirs, and each gets on.
func TestImportsLeaveTheStoreToOthers(t *testing.T) {
	t.Parallel()
	for _, imports := range []int{1, 12} {
		t.Run(fmt.Sprint(imports), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &slow{takes: 5 * time.Millisecond}
				x := New(Config{Store: s})
				ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
				defer stop()
				var all sync.WaitGroup
				for i := range imports {
					all.Go(func() {
						report, err := x.Import(ctx, comm.ID{byte(i)}, strings.NewReader(linesOf(100_000, good)), JSONLines)
						if !errors.Is(err, context.DeadlineExceeded) || report.Added < 3000/imports {
							t.Errorf("import %d: %+v %v", i, report, err)
						}
					})
				}
				all.Wait()
				if share := float64(s.busy.Load()) / float64(10*time.Second); share > 0.26 || share < 0.2 {
					t.Errorf("%d imports took %.2f of the writer", imports, share)
				}
			})
		})
	}
}

// TestAFileOfWrongLinesEnds: at 10,000 of them, with what was added told and kept.
func TestAFileOfWrongLinesEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file    string
		err     error
		refused int
		added   int64
		code    string
	}{
		"just under":    {linesOf(250, good) + linesOf(9999, bad) + linesOf(3, good), nil, 9999, 253, ""},
		"over":          {linesOf(250, good) + linesOf(10_000, bad) + linesOf(3, good), nil, 10_000, 250, "invalid_import"},
		"store is away": {linesOf(250, good) + linesOf(10_000, bad), errors.New("away"), 0, 100, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &slow{err: c.err}
			report, err := New(Config{Store: s}).Import(t.Context(), comm.ID{1}, strings.NewReader(c.file), JSONLines)
			e, _ := errors.AsType[*comm.Error](err)
			switch {
			case c.err != nil:
				if !errors.Is(err, c.err) {
					t.Errorf("%v", err)
				}
			case (e == nil) != (c.code == "") || e != nil && (e.Code != c.code || e.Details["line"] != 10_250 || !strings.Contains(e.Text, "line 251")):
				t.Errorf("%v", err)
			}
			if report.Refused != c.refused || int64(report.Added) != c.added || s.rows.Load() != c.added {
				t.Errorf("%d added, %d refused, %d stored", report.Added, report.Refused, s.rows.Load())
			}
		})
	}
}

// TestListsAsSpreadsheetsWriteThem: names of columns in any case, spaces beside the commas; what people
// wrote in a note stays as it was. A list parted by semicolons is told what is wrong with it.
func TestListsAsSpreadsheetsWriteThem(t *testing.T) {
	t.Parallel()
	kept := &keeper{}
	x := New(Config{Store: kept})
	report, err := x.Import(t.Context(), comm.ID{1}, strings.NewReader("\xef\xbb\xbfChannel, Address ,REASON,Note, createdat\r\nEMAIL, ama@example.com , complaint, asked us ,2026\r\n SMS ,233241234567,,,\r\n"), CSV)
	if err != nil || report.Added != 2 || report.Refused != 0 {
		t.Fatalf("%+v %v", report, err)
	}
	if a, b := kept.all[0], kept.all[1]; a.Address != "ama@example.com" || a.Reason != comm.SuppressComplaint || a.Note != " asked us " || b.Channel != comm.SMS || b.Address != "233241234567" {
		t.Errorf("%+v", kept.all)
	}
	for header, says := range map[string]string{
		"channel;address":         "with commas between them",
		"channel,Channel,address": "must name the columns",
		"channel,address,mood":    "must name the columns",
	} {
		_, err := x.Import(t.Context(), comm.ID{1}, strings.NewReader(header+"\nEMAIL;a@example.com\n"), CSV)
		if e, ok := errors.AsType[*comm.Error](err); !ok || e.Code != "invalid_import" || !strings.Contains(e.Text, says) {
			t.Errorf("%s: %v", header, err)
		}
	}
}

// keeper keeps what is stored.
type keeper struct {
	store.Suppressions
	all []store.Suppression
}

func (k *keeper) SuppressAll(_ context.Context, all []store.Suppression) (int, error) {
	k.all = append(k.all, all...)
	return len(all), nil
}
