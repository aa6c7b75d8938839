package console

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
)

// What the overview tells of what is over: of so long, and so much at most.
const (
	overFor   = 24 * time.Hour
	overShown = 20
)

// past is an alert that is over: what it was about, how long it lasted, and where to read on.
type past struct {
	client.Alert
	What, Was, Again   string // what was wrong, of what, and why it is over
	Where, Path, Steps string
}

// over keeps the alerts that are over since not long ago, the newest first. Of each thing the list has the last time only.
func (o *overview) over(v *visit, alerts []client.Alert) {
	var out []past
	for _, a := range alerts {
		if a.State == "raised" || a.ClearedAt == nil || v.now().Sub(*a.ClearedAt) >= overFor {
			continue
		}
		p := past{Alert: a, What: strings.TrimPrefix(a.Title, "All clear: "), Was: a.Text, Steps: "/docs/incidents/" + url.PathEscape(a.Alert)}
		if again, was, found := strings.Cut(a.Text, " Before: "); found {
			p.Again, p.Was = again, was
		}
		p.Where, p.Path = v.whereToLook(a)
		out = append(out, p)
	}
	slices.SortStableFunc(out, func(a, b past) int { return b.ClearedAt.Compare(*a.ClearedAt) })
	o.OverMore = max(0, len(out)-overShown)
	o.Over = out[:min(len(out), overShown)]
}
