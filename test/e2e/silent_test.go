package e2e

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/simulate"
	"github.com/commserver/commserver/test/stalls"
)

const (
	silentFrom, silentUntil = 3 * time.Second, 11 * time.Second // from the start of the stream
	noticed                 = 2 * time.Second                   // what the server may take to find it out
	silentStream            = 22 * time.Second
	silentMessages          = 440 // of each channel: 20 a second
)

// TestASilentProvider: the first provider of a chain takes connections and answers nobody for a while. From two seconds
// after that began on, messages of every lane go through the next one at once; those that it holds are nobody's copies.
func TestASilentProvider(t *testing.T) {
	rows := []*row{{channel: "SMS", chain: [3]string{"ARKESEL", "HUBTEL", "TWILIO"}}, {channel: "EMAIL", chain: [3]string{"SMTP", "RESEND", "SMTP"}}}
	still := stalls.Watch(t)
	for _, r := range rows {
		r.stalls, r.sends, r.lines = still, map[string]*drilled{}, map[string][]simulate.Entry{}
	}
	sim, err := simulate.Start(t.Context(), simulate.Config{SMTPAddrs: []string{"127.0.0.1:0", "127.0.0.1:0"}, Own: map[string]string{"ARKESEL": "127.0.0.1:0"},
		Entries: 4 * silentMessages, ReportDelay: time.Hour, Entered: func(e simulate.Entry) {
			for _, r := range rows {
				r.enter(e)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	p := serveMail(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), silentStream+drillMore)
	defer cancel()
	for _, r := range rows {
		r.open(p, sim)
	}
	o := outage{messages: silentMessages, stream: silentStream}
	began := time.Now()
	var work sync.WaitGroup
	for _, r := range rows {
		work.Go(func() { r.stream(ctx, t, p, &o, began) })
	}
	until(ctx, began.Add(silentFrom))
	for _, r := range rows {
		if _, err := sim.Add(simulate.Rule{Type: r.chain[0], Port: r.at[0], Fault: "hang", From: time.Now(), For: simulate.Span(silentUntil - silentFrom)}); err != nil {
			t.Errorf("order a fault: %s", simulate.Explain(err))
		}
	}
	work.Wait()
	until(ctx, time.Now().Add(decided))
	for _, r := range rows {
		t.Run(r.channel, func(t *testing.T) { r.bypassed(t, began) })
	}
	if log := p.errors(); !strings.Contains(log, "provider does not answer: its breaker opened") || !strings.Contains(log, "provider is back: its breaker closed") {
		t.Error("the log does not tell of it")
	}
}

// bypassed judges how the messages of a channel fared while its first provider was silent.
func (r *row) bypassed(t *testing.T, began time.Time) {
	lanes, held, back := map[string][]time.Duration{}, 0, 0
	var calm []time.Duration
	for to, m := range r.sends {
		taken := slices.DeleteFunc(slices.Clone(r.lines[to]), func(e simulate.Entry) bool { return e.Outcome != simulate.Accepted })
		since := m.created.Sub(began)
		switch {
		case len(taken) == 0:
			held++
			continue
		case len(taken) > 1:
			t.Errorf("%d copies of one message", len(taken))
		case since > silentUntil && taken[0].Type == r.chain[0] && (r.at[0] == 0 || taken[0].Port == r.at[0]):
			back++
		}
		if since < silentFrom {
			calm = append(calm, r.between(m.created, taken[0].At))
		}
		if since > silentFrom {
			lanes[m.lane] = append(lanes[m.lane], r.between(m.created, taken[0].At))
		}
	}
	// Those of two seconds are what it may hold; then nobody comes but for two that try whether it answers again.
	still := r.stalls.Between(began.Add(silentFrom), began.Add(silentUntil))
	if most := int((noticed+still)*silentMessages/silentStream) + 4; held == 0 || held > most {
		t.Errorf("%d messages are with the silent provider, want %d at most", held, most)
	}
	for lane, all := range lanes {
		slices.Sort(all)
		worst := all[len(all)-1]
		t.Logf("%s: %d went out while it was silent and after, p50 %v, p99 %v, worst %v", lane, len(all), all[len(all)/2], all[len(all)*99/100], worst)
		if most := bound(calm); worst > most {
			t.Errorf("%s: decided after %v, want %v at most", lane, worst, most)
		}
	}
	t.Logf("%d are with the silent provider, %d went through it once it answered again", held, back)
	if len(lanes) != 3 || back == 0 {
		t.Errorf("%d lanes, %d messages through the provider that is back", len(lanes), back)
	}
}
