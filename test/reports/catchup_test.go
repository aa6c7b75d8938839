package reports

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/store"
)

// TestCatchUp: a node that does not lead applies before a retry whatever is stored: what another one left, and what waits for an
// attempt whose outcome nobody will know. What the store refuses keeps nothing else back; while it is away, it says so.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *World) {
		w.Leads.Store(false)
		subs := w.Accept(w.App, 3, "233241000001")
		w.Start(w.Config, subs)
		leave := func(s store.Submission, line string) {
			at := comm.At(time.Now())
			query := url.Values{"cs_m": {s.ID.String()}, "cs_a": {"1"}}.Encode()
			err := w.Store.Receive(w.Context(), []store.Receipt{{ID: comm.NewID(at), Owner: w.App.ID, Provider: w.Config.ID, Type: "TWILIO", At: at, Method: http.MethodPost, Query: []byte(query), Body: []byte(line)}})
			if err != nil {
				w.Fatal(err)
			}
		}
		bad := func(r *store.Report) bool { return r.Ref == "bad" }
		w.Faults.Poison.Store(&bad)
		leave(subs[2], providertest.Line("bad", comm.FateNoted))
		parked := url.Values{"cs_m": {subs[0].ID.String()}, "cs_a": {"1"}}.Encode()
		if err := w.Post(w.Config, parked, providertest.Line("", comm.FateDelivered)); err != nil {
			w.Fatal(err)
		}
		w.Eventually("it waits for the answer", func() bool { return w.Service.Counts().Parked == 1 })
		if err := w.Service.CatchUp(w.Context()); err != nil {
			w.Fatal(err)
		}
		if m := w.Message(subs[0]); m.Status != comm.Sending {
			w.Fatalf("%s while the attempt is under way", m.Status)
		}
		leave(subs[1], providertest.Line("", comm.FateDelivered))
		w.Finish(w.Config, subs, func(o *store.Outcome) {
			*o = store.Outcome{To: comm.Queued, Cause: comm.CauseRetryUnknown, Due: comm.At(time.Now().Add(time.Hour)), Round: 1, Provider: "twilio", ProviderID: w.Config.ID,
				Set: comm.PossibleDuplicate | comm.UnknownInGeneration | comm.UnknownEver, ErrorCode: "outcome_unknown"}
		})
		away := errors.Join(errors.New("away"), store.ErrUncertain)
		w.Faults.NoApply.Store(&away)
		if err := w.Service.CatchUp(w.Context()); !store.Away(err) {
			w.Errorf("while the store is away: %v", err)
		}
		w.Faults.NoApply.Store(nil)
		if err := w.Service.CatchUp(w.Context()); err != nil {
			w.Fatal(err)
		}
		for i, want := range []comm.Status{comm.Delivered, comm.Delivered, comm.Queued} {
			if m := w.Message(subs[i]); m.Status != want {
				w.Errorf("message %d is %s", i, m.Status)
			}
		}
	})
}
