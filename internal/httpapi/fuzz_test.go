package httpapi

import (
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// FuzzCursor holds that no text but one that was given out for this app, list and filter
// opens as a cursor, and that one that was opens as what it was made of.
func FuzzCursor(f *testing.F) {
	app, other := comm.NewID(1_795_000_000_000_000), comm.NewID(1_795_000_000_000_001)
	last := store.Suppression{Channel: comm.Email, Address: "ama@example.com", CreatedAt: 1_795_000_000_000_000}
	q := query{"status": "SENT"}
	f.Add(q.cursor(app, "messages", other), "messages", "SENT")
	f.Add(q.suppressionCursor(app, &last), "suppressions", "SENT")
	f.Add("garbage", "", "")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "messages", "'; DROP TABLE apps;--")
	f.Fuzz(func(t *testing.T, text, list, value string) {
		q := query{"status": value}
		if id, ok := q.open(app, list, text); ok && q.cursor(app, list, id) != text {
			t.Errorf("%q opens, and is not what was given out", text)
		}
		if s, ok := q.openSuppression(app, text); ok && q.suppressionCursor(app, s) != text {
			t.Errorf("%q opens, and is not what was given out", text)
		}
		made := q.cursor(app, list, other)
		if id, ok := q.open(app, list, made); !ok || id != other {
			t.Errorf("%q does not open", made)
		}
		for name, as := range map[string]struct {
			app  comm.ID
			list string
			q    query
		}{"another app": {other, list, q}, "another list": {app, list + "x", q}, "another filter": {app, list, query{"status": value + "x"}}, "no filter": {app, list, query{}}} {
			if _, ok := as.q.open(as.app, as.list, made); ok {
				t.Errorf("%q opens for %s", made, name)
			}
		}
	})
}
