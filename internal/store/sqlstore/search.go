package sqlstore

import (
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// SearchBudget is how many ids a page of a search reads of each source, and so how
// many messages it looks at. Where no single index answers all filters of a search
// together, this, not what is stored, is what a page costs (docs/decisions/0004-search.md).
const SearchBudget = 800

// Sources is how many ids to read of each source of a search. A search by one word
// alone has nothing to leave out, so that no more is read than the page holds.
func Sources(f store.Filter, timed bool) (budget int, states bool) {
	states = f.Status != comm.None || f.Channel != 0
	words := len(f.Terms)
	if f.Recipient != "" {
		words++
	}
	if words == 1 && !states && !timed && !f.Captured {
		return min(f.Limit+1, SearchBudget), false
	}
	return SearchBudget, states
}

// Candidates picks what a search looks at. Each source is ids that pass one of its
// filters, newest first, and whole if it is shorter than budget. The source that
// reaches back furthest leads: a rare one is whole, and then so is the answer. What
// others are known not to hold is left out; where they do not reach, the row decides.
// end is the last id looked at, zero when there is nothing beyond.
func Candidates(sources [][]comm.ID, budget int) (ids []comm.ID, end comm.ID) {
	depth := func(s []comm.ID) (d comm.ID) {
		if len(s) >= budget {
			d = s[len(s)-1]
		}
		return d
	}
	lead := slices.MinFunc(sources, func(a, b []comm.ID) int {
		if c := depth(a).Compare(depth(b)); c != 0 {
			return c
		}
		return len(a) - len(b)
	})
	end = depth(lead)
	for _, id := range lead {
		if !slices.ContainsFunc(sources, func(s []comm.ID) bool { return lacks(s, depth(s), id) }) {
			ids = append(ids, id)
		}
	}
	return ids, end
}

// lacks says whether a source that reaches back to depth does not hold an id for certain.
func lacks(source []comm.ID, depth, id comm.ID) bool {
	if id.Compare(depth) < 0 {
		return false
	}
	_, has := slices.BinarySearchFunc(source, id, func(x, id comm.ID) int { return id.Compare(x) })
	return !has
}

// PageOf makes a page of the messages found, of which one more than the filter's limit was asked for. Bodies are left out unless it asks for them.
func PageOf(found []comm.Message, f store.Filter, end comm.ID) store.Found {
	if len(found) > f.Limit {
		found = found[:f.Limit]
		end = found[f.Limit-1].State.ID
	}
	if f.Whole {
		return store.Found{Messages: found, Before: end}
	}
	for i := range found {
		found[i].Body, found[i].Text = "", ""
	}
	return store.Found{Messages: found, Before: end}
}
