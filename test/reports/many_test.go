package reports

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/store"
)

// telling is a report of a message in the test of many.
type telling struct {
	message int
	line    string
	named   bool // it names the message in the callback's address, and has no id
}

// plot is what is reported of a message, and how it must end.
type plot struct {
	fates []comm.Fate
	more  []string
	end   comm.Status
}

var plots = []plot{
	{[]comm.Fate{comm.FateDelivered}, nil, comm.Delivered},
	{[]comm.Fate{comm.FateOnItsWay, comm.FateDelivered}, nil, comm.Delivered},
	{[]comm.Fate{comm.FateOnItsWay, comm.FateUndelivered}, []string{"code", "30003", "suppress", comm.SuppressHardBounce}, comm.Failed},
	{[]comm.Fate{comm.FateUndelivered, comm.FateDelivered}, []string{"code", "30008", "correctable", "1"}, comm.Delivered},
	{[]comm.Fate{comm.FateOnItsWay}, nil, comm.Sent},
	{[]comm.Fate{comm.FateOnItsWay, comm.FateNoted, comm.FateDelivered, comm.FateComplained}, []string{"suppress", comm.SuppressComplaint}, comm.Delivered},
}

// TestManyReports: reports in random order, a tenth before the send's own answer is stored, a tenth twice. Every message
// ends in the right state, with a log that keeps the rules.
func TestManyReports(t *testing.T) {
	reports := 4000
	if os.Getenv("COMMS_TEST_FULL") != "" {
		reports = 100_000
	}
	for _, kind := range []struct {
		name string
		open func(*testing.T) store.Store
	}{{"SQLite", OnSQLite}, {"PostgreSQL", OnPostgres}} {
		t.Run(kind.name, func(t *testing.T) { manyReports(New(t, kind.open(t), &providertest.Reporter{}), reports) })
	}
}

func manyReports(w *World, reports int) {
	seed := rand.Uint64()
	if text := os.Getenv("COMMS_TEST_SEED"); text != "" {
		_, _ = fmt.Sscan(text, &seed)
	}
	w.Logf("seed %d", seed)
	w.Patience = time.Duration(reports) * 5 * time.Millisecond
	random := rand.New(rand.NewPCG(seed, 0))
	// Messages of several apps through their own configurations, and one of the server level.
	type sender struct {
		app    *comm.App
		config *comm.ProviderConfig
	}
	senders := []sender{{w.App, w.Config}}
	for i := range 3 {
		a := w.NewApp()
		senders = append(senders, sender{a, w.NewConfig(a.ID, fmt.Sprint("c", i))})
	}
	senders = append(senders, sender{w.NewApp(), w.NewConfig(comm.ID{}, "server")})

	var subs []store.Submission
	var by []sender
	var fate []plot
	var all []telling
	for len(all) < reports {
		x := senders[random.IntN(len(senders))]
		const group = 100
		for range group {
			p := plots[random.IntN(len(plots))]
			for _, f := range p.fates {
				all = append(all, telling{message: len(fate), line: fmt.Sprint(int(f))})
			}
			by, fate = append(by, x), append(fate, p)
		}
		subs = append(subs, w.Accept(x.app, group, fmt.Sprintf("2332410%05d", len(fate)/group))...)
		w.Start(x.config, subs[len(subs)-group:])
	}
	for i := range all {
		x := &all[i]
		var n int
		_, _ = fmt.Sscan(x.line, &n)
		x.named = random.IntN(5) == 0
		ref := subs[x.message].ID.String()
		if x.named {
			ref = ""
		}
		x.line = providertest.Line(ref, comm.Fate(n), fate[x.message].more...)
	}
	for range reports / 10 {
		all = append(all, all[random.IntN(len(all))])
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })

	// A tenth of them come before any answer is stored; the others while the answers are stored.
	early := len(all) / 10
	began := time.Now()
	w.postAll(all[:early], subs, func(i int) *comm.ProviderConfig { return by[i].config })
	var both sync.WaitGroup
	both.Go(func() {
		for from := 0; from < len(subs); from += 100 {
			w.Finish(by[from].config, subs[from:from+100])
		}
	})
	both.Wait()
	w.postAll(all[early:], subs, func(i int) *comm.ProviderConfig { return by[i].config })
	stored := time.Since(began)
	twins := map[telling]int64{} // equal ones are kept once while they are parked
	for _, x := range all[:early] {
		twins[x]++
	}
	w.Eventually("nothing waits any more", func() bool {
		c := w.Service.Counts()
		return c.Moved+c.Logged+c.Known >= int64(len(all)-early+len(twins)) && w.Left() == 0 && w.waits() == 0
	})
	took := time.Since(began)
	c := w.Service.Counts()
	w.Logf("%d reports of %d messages: stored and acknowledged in %s (%.0f a second), all applied after %s (%.0f a second); %+v", len(all), len(subs), stored.Round(time.Millisecond),
		float64(len(all))/stored.Seconds(), took.Round(time.Millisecond), float64(len(all))/took.Seconds(), c)
	if early > 0 && c.Parked == 0 {
		w.Error("no report came early")
	}
	for i, s := range subs {
		m := w.Message(s)
		if m.Status != fate[i].end {
			w.Fatalf("message %d: %s, want %s; %v", i, m.Status, fate[i].end, m.Events)
		}
		w.Lawful(m)
	}
}

// waits counts parked reports that are due.
func (w *World) waits() int {
	w.Helper()
	list, err := w.Store.Parked(w.Context(), comm.At(time.Now()), 10)
	if err != nil {
		w.Fatal(err)
	}
	return len(list)
}

// postAll delivers reports from many connections at once.
func (w *World) postAll(all []telling, subs []store.Submission, config func(int) *comm.ProviderConfig) {
	w.Helper()
	const clients = 32
	var wg sync.WaitGroup
	for part := range slices.Chunk(all, (len(all)+clients-1)/clients) {
		wg.Go(func() {
			for _, x := range part {
				query := ""
				if x.named {
					query = url.Values{"cs_m": {subs[x.message].ID.String()}, "cs_a": {"1"}}.Encode()
				}
				if err := w.Post(config(x.message), query, x.line); err != nil {
					w.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
