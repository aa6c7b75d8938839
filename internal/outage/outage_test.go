package outage

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := &Report{Log: slog.New(slog.NewTextHandler(&log, nil)), Level: slog.LevelError, Failing: "it fails", Works: "it works again"}
		lines := func() []string {
			defer log.Reset()
			return strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		}
		r.Worked()
		if log.Len() != 0 {
			t.Errorf("what never failed works again: %s", log.String())
		}
		for round := range 2 {
			for range 1000 {
				r.Failed(errors.New("refused"), "shard", 7)
				time.Sleep(time.Second)
			}
			got := lines()
			if len(got) != 10 || !strings.Contains(got[0], "level=ERROR msg=\"it fails\" shard=7 failures=1 err=refused") || !strings.Contains(got[9], "failures=512") {
				t.Errorf("round %d: %q", round, got)
			}
			r.Worked()
			r.Worked()
			if got = lines(); len(got) != 1 || !strings.Contains(got[0], `level=INFO msg="it works again" failures=1000 lasted=16m40s`) {
				t.Errorf("round %d: %q", round, got)
			}
		}
	})
}

func TestReportCountsForAll(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := &Report{Log: slog.New(slog.NewTextHandler(&log, nil)), Failing: "it fails", Works: "it works again"}
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() { r.Failed(errors.New("refused")) })
	}
	all.Wait()
	r.Worked()
	if got := log.String(); strings.Count(got, "it fails") != 7 || !strings.Contains(got, "failures=64 lasted=") {
		t.Error(got)
	}
}

func TestSpaced(t *testing.T) {
	t.Parallel()
	var s Spaced
	now := time.Unix(1_800_000_000, 0)
	if unsaid, ok := s.Speak(now); !ok || unsaid != 0 {
		t.Error("the first line is not written")
	}
	for range 5 {
		if _, ok := s.Speak(now.Add(999 * time.Millisecond)); ok {
			t.Error("two lines in a second")
		}
	}
	if unsaid, ok := s.Speak(now.Add(time.Second)); !ok || unsaid != 5 {
		t.Errorf("%d were left out, %v", unsaid, ok)
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	var o Once[int]
	for range 3 {
		o.First(7)
	}
	if o.First(7) || !o.First(8) || o.First(8) {
		t.Error("a thing is said twice")
	}
	for n := range 3 * mostSaid {
		o.First(n)
	}
	if len(o.said) > mostSaid {
		t.Errorf("%d things are remembered", len(o.said))
	}
}
