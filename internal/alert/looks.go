package alert

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/health"
)

// mostFound is how many things a look finds.
const mostFound = 500

// Store is what the looks look at.
type Store interface {
	store.Alerts
	// Shares is what is counted of apps' messages; see store.Stats.
	Shares(ctx context.Context, apps []comm.ID, from comm.Micros) ([][]store.Period, error)
}

// Looks are the looks at what the store knows by itself. patience is of Config.
func Looks(s Store, patience time.Duration) []Look {
	fails := failsFor
	if patience > 0 {
		fails = min(fails, patience)
	}
	return []Look{
		{[]string{ProviderDown}, 0, func(ctx context.Context, _ comm.Micros) (Found, error) { return providers(ctx, s) }},
		{[]string{EndpointFailing}, 15 * time.Second, func(ctx context.Context, now comm.Micros) (Found, error) {
			return endpoints(ctx, s, now.Add(-fails))
		}},
		{[]string{NoProvider}, 5 * time.Minute, func(ctx context.Context, now comm.Micros) (Found, error) { return unprovided(ctx, s, now) }},
		{[]string{KeyEnding}, time.Minute, func(ctx context.Context, now comm.Micros) (Found, error) { return keys(ctx, s, now) }},
	}
}

func providers(ctx context.Context, s store.Alerts) (out Found, err error) {
	all, err := s.ProviderTroubles(ctx, mostFound)
	out.More = len(all) == mostFound
	said := health.ByConfig(all) // several nodes may say so
	for i := range all {
		t := &all[i]
		of, untold := said[t.ID]
		if !untold {
			continue
		}
		delete(said, t.ID)
		h := health.Together(of)
		why := chain.WaitText(h.Reason)
		if h.Code != "" {
			why += " Its last answer: " + h.Code + "."
		}
		out.All = append(out.All, Finding{ProviderDown, t.ID.String(), fmt.Sprintf("The provider configuration %q (%s, %s) of %s does not work. %s", t.Name, t.Type, t.Channel, owner(t.Slug), why), h.Since, outageOf(&h), t.Slug})
	}
	return out, err
}

func owner(slug string) string {
	if slug == "" {
		return "the server"
	}
	return "the app " + slug
}

// written is an instant in a text, which is read in mails, in the console and on a command line.
func written(at comm.Micros) string { return at.Time().Format("2006-01-02 15:04:05 UTC") }

// failsFor is how long an endpoint has failed before it counts.
const failsFor time.Duration = time.Minute

func endpoints(ctx context.Context, s store.Alerts, before comm.Micros) (out Found, err error) {
	all, err := s.EndpointTroubles(ctx, before, mostFound)
	out.More = len(all) == mostFound
	for i := range all {
		e := &all[i]
		what := "has failed since " + written(e.Since) + "; its events are tried again"
		switch e.Disabled {
		case "":
		case comm.EndpointGone:
			what = "was switched off: it answered 410, which means that it is gone"
		default:
			what = "was switched off: it failed for as long as events are tried"
		}
		out.All = append(out.All, Finding{EndpointFailing, e.ID.String(), fmt.Sprintf("The webhook endpoint %q of the app %s %s.", e.Name, e.Slug, what), e.Since, nil, e.Slug})
	}
	return out, err
}

// usedFor is for how long a channel counts as used after an app was given a message for it.
const usedFor = 24 * time.Hour

// unprovided finds apps that no provider serves at all, and those that use a channel which none serves.
func unprovided(ctx context.Context, s Store, now comm.Micros) (out Found, err error) {
	for page := (store.Unprovided{}); len(out.All) < mostFound; {
		found, err := s.Unprovided(ctx, page, mostFound)
		last := len(found) < mostFound
		if !last {
			found = whole(found)
		}
		if err != nil || len(found) == 0 {
			return out, err
		}
		page = found[len(found)-1]
		used, err := uses(ctx, s, found, now)
		if err != nil {
			return out, err
		}
		if out.All = append(out.All, lacking(found, used)...); last && len(out.All) <= mostFound {
			return out, nil
		}
	}
	out.More, out.All = true, out.All[:mostFound]
	return out, nil
}

// whole leaves out the last app of a full page, whose other channel may be on the next one: that one begins with it.
func whole(found []store.Unprovided) []store.Unprovided {
	app := found[len(found)-1].App
	return found[:slices.IndexFunc(found, func(u store.Unprovided) bool { return u.App == app })]
}

// use is an app and a channel.
type use struct {
	app     comm.ID
	channel comm.Channel
}

// uses says which channels these apps were given messages for usedFor.
func uses(ctx context.Context, s Store, found []store.Unprovided, now comm.Micros) (map[use]bool, error) {
	var apps []comm.ID
	for i := range found {
		if i == 0 || found[i-1].App != found[i].App {
			apps = append(apps, found[i].App)
		}
	}
	counted, err := s.Shares(ctx, apps, now.Add(-usedFor))
	if err != nil {
		return nil, fmt.Errorf("count what apps use: %w", err)
	}
	used := map[use]bool{}
	for i := range counted {
		for _, p := range counted[i] {
			err := store.EachMessageFigure(p.Counts, func(f store.Figure) {
				if f.Counter == comm.CountAccepted && f.N > 0 {
					used[use{apps[i], f.Channel}] = true
				}
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return used, nil
}

// lacking makes findings of apps in the order of ids.
func lacking(found []store.Unprovided, used map[use]bool) (out []Finding) {
	for i := 0; i < len(found); {
		app, slug, all := found[i].App, found[i].Slug, 0
		var channels []string
		for ; i < len(found) && found[i].App == app; i++ {
			if all++; used[use{app, found[i].Channel}] {
				channels = append(channels, found[i].Channel.String())
			}
		}
		text := fmt.Sprintf("The app %s is live and has no provider that is switched on: what it sends reaches nobody.", slug)
		switch {
		case all == len(comm.Channels()):
		case len(channels) == 0:
			continue
		default:
			text = fmt.Sprintf("The app %s is live, was given messages for %s in the last day, and has no provider for it that is switched on: such messages reach nobody.", slug, channels[0])
		}
		out = append(out, Finding{NoProvider, app.String(), text, 0, nil, slug})
	}
	return out
}

const (
	week = 7 * 24 * time.Hour
	// shortLived keys are made to end, and nobody is told.
	shortLived = 48 * time.Hour
)

func keys(ctx context.Context, s store.Alerts, now comm.Micros) (out Found, err error) {
	all, err := s.KeysEnding(ctx, now, week, shortLived, mostFound)
	out.More = len(all) == mostFound
	for i := range all {
		k, verb := &all[i], "ends"
		if k.EndsAt <= now {
			verb = "has ended"
		}
		out.All = append(out.All, Finding{KeyEnding, k.ID.String(), fmt.Sprintf("The API key %q of the app %s %s at %s.", k.Name, k.Slug, verb, written(k.EndsAt)), 0, nil, k.Slug})
	}
	return out, err
}

// Waiting is an app with a message that waits.
type Waiting struct {
	App     comm.ID
	Slug    string
	Channel comm.Channel
	Lane    comm.Lane
	Since   comm.Micros // when it was due
	Reason  string      // a word of chain.WaitReasons; "" when none is known
}

// WaitingLook looks for messages that have been due for longer than limit. more says that find left some out.
func WaitingLook(limit time.Duration, find func(ctx context.Context, before comm.Micros) (all []Waiting, more bool, err error)) Look {
	return Look{[]string{MessagesWaiting}, 15 * time.Second, func(ctx context.Context, now comm.Micros) (out Found, err error) {
		all, more, err := find(ctx, now.Add(-limit))
		out.More = more
		for i := range all {
			w := &all[i]
			text := fmt.Sprintf("A message of the app %s (%s, %s) has been due since %s and is not sent.", w.Slug, w.Channel, w.Lane, written(w.Since))
			if w.Reason != "" {
				text += " " + chain.WaitText(w.Reason)
			}
			out.All = append(out.All, Finding{MessagesWaiting, w.App.String(), text, w.Since, nil, w.Slug})
		}
		return out, err
	}}
}

// SpaceLook looks whether the room for the database is below a limit, in bytes.
func SpaceLook(limit int64, free func() (bytes uint64, known bool)) Look {
	return Look{[]string{StorageLow}, 15 * time.Second, func(context.Context, comm.Micros) (out Found, err error) {
		if left, known := free(); known && left < uint64(limit) {
			out.All = []Finding{{StorageLow, "storage", fmt.Sprintf("%d MiB are left where the database is.", left>>20), 0, nil, ""}}
		}
		return out, nil
	}}
}
