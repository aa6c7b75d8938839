package sqlite

import (
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Lists are merged from indexes that part the messages between them: whatever a
// row says of its status, provider and sending, each is listed once.
func TestListsHaveEachMessageOnce(t *testing.T) {
	t.Parallel()
	s := opened(t)
	app := submission().App
	all, captured := map[comm.Status][]comm.ID{}, map[comm.Status][]comm.ID{}
	for _, status := range comm.Statuses() {
		for _, provider := range []string{"", "smtp", "sandbox"} {
			for _, sent := range []int64{0, 1} {
				sub := submission()
				sub.App = app
				if _, err := s.Accept(t.Context(), []store.Submission{sub}); err != nil {
					t.Fatal(err)
				}
				err := s.w.hot(t.Context(), 1, func(r *raw) error {
					q := &query{`UPDATE state SET status = ?, provider = ?, sent_at = ? WHERE id = ? AND app_id = ?`}
					defer r.forget(q)
					_, err := r.run(q, int64(status), provider, sent, sub.ID[:], app[:])
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, st := range []comm.Status{comm.None, status} {
					all[st] = append(all[st], sub.ID)
					if provider == "sandbox" && sent != 0 {
						captured[st] = append(captured[st], sub.ID)
					}
				}
			}
		}
	}
	for status, want := range all {
		f := store.Filter{Status: status, Limit: 1000}
		list, err := s.List(t.Context(), app, f)
		if got := messageIDs(list); err != nil || !slices.Equal(got, newestFirst(want)) {
			t.Errorf("status %d: %d messages, want %d (%v)", status, len(got), len(want), err)
		}
		list, err = s.Captures(t.Context(), app, f)
		if got := messageIDs(list); err != nil || !slices.Equal(got, newestFirst(captured[status])) {
			t.Errorf("status %d: %d captures, want %d (%v)", status, len(got), len(captured[status]), err)
		}
	}
}

func messageIDs(list []comm.Message) (ids []comm.ID) {
	for i := range list {
		ids = append(ids, list[i].ID)
	}
	return ids
}

func newestFirst(ids []comm.ID) []comm.ID {
	return slices.SortedFunc(slices.Values(ids), func(a, b comm.ID) int { return b.Compare(a) })
}
