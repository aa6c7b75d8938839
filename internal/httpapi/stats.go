package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/stats"
)

// countsView is messages by the status that they came to.
type countsView struct {
	Accepted   int64 `json:"accepted"`
	Retried    int64 `json:"retried"`
	Sent       int64 `json:"sent"`
	Delivered  int64 `json:"delivered"`
	Failed     int64 `json:"failed"`
	Suppressed int64 `json:"suppressed"`
	Cancelled  int64 `json:"cancelled"`
}

type waitView struct {
	Count int64  `json:"count"`
	P50   number `json:"p50Ms"`
	P95   number `json:"p95Ms"`
	P99   number `json:"p99Ms"`
}

type latencyView struct {
	Accepted waitView `json:"accepted"`
	Due      waitView `json:"due"`
}

type channelStats struct {
	Channel string      `json:"channel"`
	Counts  countsView  `json:"counts"`
	Latency latencyView `json:"latency"`
}

type providerStats struct {
	Provider  string `json:"provider"`
	Channel   string `json:"channel"`
	Attempts  int64  `json:"attempts"`
	Sent      int64  `json:"sent"`
	Failed    int64  `json:"failed"`
	Throttled int64  `json:"throttled"`
	Unknown   int64  `json:"unknown"`
}

type bucketStats struct {
	At      instant     `json:"at"`
	Counts  countsView  `json:"counts"`
	Latency latencyView `json:"latency"`
}

type appStats struct {
	ID     comm.ID    `json:"id"`
	Slug   text       `json:"slug"`
	Name   text       `json:"name"`
	Counts countsView `json:"counts"`
}

// statsView is what was counted in a window.
type statsView struct {
	Window        string          `json:"window"`
	From          instant         `json:"from"`
	To            instant         `json:"to"`
	BucketSeconds int64           `json:"bucketSeconds"`
	Counts        countsView      `json:"counts"`
	Latency       latencyView     `json:"latency"`
	Channels      []channelStats  `json:"channels"`
	Providers     []providerStats `json:"providers"`
	Buckets       []bucketStats   `json:"buckets"`
}

// adminStatsView has the apps that accepted most; none when one app was asked for.
type adminStatsView struct {
	statsView
	Apps []appStats `json:"apps"`
}

// wait shows milliseconds, at least one where there is a wait at all.
func newWait(w stats.Wait) waitView {
	ms := func(d time.Duration) number {
		if d == 0 {
			return 0
		}
		return number(max(1, d.Round(time.Millisecond).Milliseconds()))
	}
	return waitView{w.Count, ms(w.P50), ms(w.P95), ms(w.P99)}
}

func newLatency(l stats.Latency) latencyView {
	return latencyView{newWait(l.Accepted), newWait(l.Due)}
}

func newStats(r *stats.Report) statsView {
	v := statsView{
		Window: r.Window.Name, From: instant(r.From), To: instant(r.To), BucketSeconds: int64(r.Window.Step) / time.Second.Microseconds(),
		Counts: countsView(r.Messages), Latency: newLatency(r.Latency),
		Channels: make([]channelStats, len(r.Channels)), Providers: make([]providerStats, len(r.Providers)), Buckets: make([]bucketStats, len(r.Steps)),
	}
	for i, c := range r.Channels {
		v.Channels[i] = channelStats{c.Channel.String(), countsView(c.Messages), newLatency(c.Latency)}
	}
	for i, p := range r.Providers {
		v.Providers[i] = providerStats{p.Provider, p.Channel.String(), p.Attempts, p.Sent, p.Failed, p.Throttled, p.Unknown}
	}
	for i, s := range r.Steps {
		v.Buckets[i] = bucketStats{instant(s.At), countsView(s.Messages), newLatency(s.Latency)}
	}
	return v
}

// window reads the parameter.
func (q query) window() (stats.Window, error) {
	name, given := q["window"]
	if !given {
		name = stats.DefaultWindow
	}
	w, known := stats.WindowNamed(name)
	if !known {
		var names []string
		for _, w := range stats.Windows() {
			names = append(names, w.Name)
		}
		return w, badQuery("window", "must be one of "+strings.Join(names, ", "))
	}
	return w, nil
}

// appStats is GET /api/v1/stats.
func (a *API) appStats(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "window")
	if err != nil {
		return err
	}
	window, err := q.window()
	if err != nil {
		return err
	}
	report, err := a.cfg.Stats.App(r.Context(), caller.App.ID, window)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newStats(report))
	return nil
}

// allStats is GET /api/admin/stats.
func (a *API) allStats(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	q, err := readQuery(r, "window", "app")
	if err != nil {
		return err
	}
	window, err := q.window()
	if err != nil {
		return err
	}
	var report *stats.Report
	if name, given := q["app"]; given {
		app, err := a.auditedApp(r, name)
		if err != nil {
			return err
		}
		report, err = a.cfg.Stats.App(r.Context(), app, window)
		if err != nil {
			return err
		}
	} else if report, err = a.cfg.Stats.All(r.Context(), window); err != nil {
		return err
	}
	out := adminStatsView{statsView: newStats(report), Apps: make([]appStats, len(report.Apps))}
	for i, x := range report.Apps {
		out.Apps[i] = appStats{x.App, text(x.Slug), text(x.Name), countsView(x.Messages)}
	}
	write(w, http.StatusOK, out)
	return nil
}
