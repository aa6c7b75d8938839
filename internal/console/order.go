package console

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/commserver/commserver/client"
)

// apart is the distance between two priorities that the console sets.
const apart = 10

// orderProviders sets the order of a channel's configurations: was names their ids as they were shown, order as they shall be, and
// up or down the one that moves by a place. The API has a change for each of them: what came between is told.
func (v *visit) orderProviders() error {
	o, err := v.theChain()
	if err != nil {
		return err
	}
	all, err := v.configs(o)
	if err != nil {
		return err
	}
	in, back := v.r.PostForm, providersPath+o.Query()
	was, order := strings.Fields(in.Get("was")), moved(strings.Fields(in.Get("order")), in.Get("up"), in.Get("down"))
	switch is := besides(all, was); {
	case slices.Equal(is, order) && len(order) > 0: // by the first of two clicks
		return v.done(back, orderChanged)
	case len(order) == 0, !slices.Equal(is, was), !slices.Equal(slices.Sorted(slices.Values(order)), slices.Sorted(slices.Values(was))):
		return v.failedHere(back, "The chain was changed meanwhile, and its order is not changed by you. This is how it is now: look, and set it again.")
	}
	set := 0
	for _, p := range all {
		at := slices.Index(order, p.ID)
		if at < 0 || p.Priority == (at+1)*apart {
			continue
		}
		err := send(v, o.slug(), http.MethodPatch, o.api()+"/"+client.Escape(p.ID), map[string]any{"priority": (at + 1) * apart}, nil)
		var e *client.Error
		if errors.As(err, &e) && e.Status != http.StatusUnauthorized && set > 0 {
			return v.failedHere(back, "The order is changed in part only. "+sentence(e.Message)+" This is how it is now: look, and set it again.")
		}
		if err != nil {
			return v.undone(back, err)
		}
		set++
	}
	if all, err = v.configs(o); err != nil {
		return err
	}
	if !slices.Equal(besides(all, order), order) {
		return v.failedHere(back, "Somebody else changed the chain at the same moment. This is how it is now: look, and set it again.")
	}
	return v.done(back, orderChanged)
}

const orderChanged = "The order is changed. Messages that start from now on go by it."

// besides are the ids of all configurations of the channel that some are of, in their order.
func besides(all []client.Provider, some []string) (out []string) {
	at := slices.IndexFunc(all, func(p client.Provider) bool { return slices.Contains(some, p.ID) })
	for i := range all {
		if at >= 0 && all[i].Channel == all[at].Channel {
			out = append(out, all[i].ID)
		}
	}
	return out
}

// moved puts an id one place up or down.
func moved(order []string, up, down string) []string {
	if at := slices.Index(order, up); at > 0 {
		order[at-1], order[at] = order[at], order[at-1]
	}
	if at := slices.Index(order, down); at >= 0 && at < len(order)-1 {
		order[at+1], order[at] = order[at], order[at+1]
	}
	return order
}
