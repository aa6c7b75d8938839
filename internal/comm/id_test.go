package comm

import (
	"bytes"
	"slices"
	"testing"
)

func TestIDTextAndBytesAgree(t *testing.T) {
	at := Micros(1_795_000_000_123_456)
	prev := ID{}
	for i := range 2000 {
		id := NewID(at + Micros(i*1000))
		text := id.String()
		if len(text) != 25 || text[0] != 'c' {
			t.Fatalf("text %q", text)
		}
		back, err := ParseID(text)
		if err != nil || back != id {
			t.Fatalf("parse %q: %v %v", text, back, err)
		}
		if got, want := id.Time().Millis(), (at + Micros(i*1000)).Millis(); got != want {
			t.Fatalf("time %d, want %d", got, want)
		}
		if i > 0 && (prev.Compare(id) >= 0 || prev.String() >= text) {
			t.Fatalf("ids do not sort by age: %s, %s", prev, text)
		}
		prev = id
	}
}

func TestFirstIDBoundsItsMillisecond(t *testing.T) {
	at := Micros(1_795_000_000_123_000)
	for range 1000 {
		id := NewID(at)
		first, next := FirstID(at), FirstID(at+1000)
		if bytes.Compare(id[:], first[:]) < 0 || bytes.Compare(id[:], next[:]) >= 0 {
			t.Fatalf("%s outside [%s,%s)", id, first, next)
		}
	}
}

func TestParseIDRefuses(t *testing.T) {
	good := NewID(1_795_000_000_000_000).String()
	for _, bad := range []string{"", "c", good[1:], good + "0", "C" + good[1:], good[:24] + "Z", good[:24] + "-", "../" + good[3:]} {
		if id, err := ParseID(bad); err == nil {
			t.Errorf("%q parsed as %v", bad, id)
		}
	}
}

func TestShardsOfCoversShardOf(t *testing.T) {
	seen := map[Shard]int{}
	for range 4000 {
		app := NewID(1_795_000_000_000_000)
		seen[ShardOf(app, ID{}, 1)]++
		for _, spread := range []int{1, 4, 64} {
			s := ShardOf(app, NewID(1_795_000_000_000_000), spread)
			if !slices.Contains(ShardsOf(app, spread), s) {
				t.Fatalf("shard %d of spread %d not in %v", s, spread, ShardsOf(app, spread))
			}
		}
	}
	if len(seen) != ShardCount {
		t.Fatalf("4000 apps fill %d of %d shards", len(seen), ShardCount)
	}
}

func TestEveryEdgeHasNames(t *testing.T) {
	for _, e := range Edges() {
		if !Allowed(e.From, e.To, e.Cause) || e.Cause.String() == "UNKNOWN" || e.To == None || e.Who == "" {
			t.Errorf("edge %+v", e)
		}
	}
	if Allowed(Sent, Queued, CauseRetryTransient) || Allowed(Delivered, Failed, CauseReportFailed) {
		t.Error("an edge that the machine does not have is allowed")
	}
	if len(Causes()) != len(causeNames) {
		t.Errorf("%d causes, %d names", len(Causes()), len(causeNames))
	}
}

func TestCodesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes() {
		if seen[c.Code] || c.Text == "" {
			t.Errorf("code %q twice or without text", c.Code)
		}
		seen[c.Code] = true
	}
	if E("no_such_code").Kind != Internal {
		t.Error("an unlisted code must be internal")
	}
}

func TestEveryEndWithoutAProviderHasASentence(t *testing.T) {
	for _, e := range Edges() {
		if e.To == Failed && e.From == Queued && e.Cause != CauseInternalError && EndText(e.Cause) == "" {
			t.Errorf("%s ends a message without a sentence", e.Cause)
		}
		if c, ok := ParseCause(e.Cause.String()); !ok || c != e.Cause {
			t.Errorf("%s does not read back", e.Cause)
		}
	}
}
