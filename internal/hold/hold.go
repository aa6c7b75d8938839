// Package hold keeps a restored database from sending until an operator says so: what
// was sent after its backup was made is not known in it.
//
// It promises that a process which meets such a database starts no attempt and posts no event
// before the hold was released; that a release is an order with a choice about what may have been sent, carried out
// in short transactions and gone on with by whoever starts next; and that the order stands in the audit log before anything is done.
//
// What was queued for a live app and not scheduled for later when the database was restored is marked there (store.Doubts), as is
// a message of which an attempt ended unknown. Everything else that is queued has been sent by nobody.
package hold

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// State is how far a hold is.
type State string

// The states.
const (
	None      State = "NONE" // the database was not restored
	Held      State = "HELD"
	Releasing State = "RELEASING"
	Released  State = "RELEASED"
)

// Choice is what becomes of what may have been sent since the backup.
type Choice string

// The choices.
const (
	Send   Choice = "SEND"   // it is sent, perhaps a second time
	Policy Choice = "POLICY" // as each app's onUnknownOutcome says: RETRY sends it, FAIL ends it
	Fail   Choice = "FAIL"   // it ends FAILED, outcome_unknown: nothing is sent twice
)

// Choices lists them.
func Choices() []Choice { return []Choice{Send, Policy, Fail} }

// Record is the setting store.HoldSetting.
type Record struct {
	State      State       `json:"state"`
	TakenAt    comm.Micros `json:"takenAt"`    // the backup
	RestoredAt comm.Micros `json:"restoredAt"` // by the database's clock
	Queued     int64       `json:"queued"`     // store.Doubts
	Sending    int64       `json:"sending"`
	Choice     Choice      `json:"choice,omitempty"`
	ReleasedAt comm.Micros `json:"releasedAt,omitempty"` // when it was done
	Ended      int64       `json:"ended,omitempty"`      // messages that the release ended
	// By is the process that carries the release out, until then: another one may go on with it afterwards.
	By    string      `json:"by,omitempty"`
	Until comm.Micros `json:"until,omitempty"`
}

// New is the setting of a database that is being restored.
func New(takenAt comm.Micros) func(now comm.Micros, d store.Doubts) (string, error) {
	return func(now comm.Micros, d store.Doubts) (string, error) {
		return encode(&Record{State: Held, TakenAt: takenAt, RestoredAt: now, Queued: d.Queued, Sending: d.Sending})
	}
}

func encode(r *Record) (string, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("write the hold: %w", err)
	}
	return string(b), nil
}

// Store is what a Service reads and changes.
type Store interface {
	store.Settings
	store.Backlog
	Windows(ctx context.Context, asks []store.Ask) ([][]store.Head, error)
	Cancel(ctx context.Context, app, id comm.ID, actor string) (comm.State, comm.CancelResult, error)
	Now(ctx context.Context) (comm.Micros, error)
	Note(ctx context.Context, notes []store.AuditEntry) error
}

// Config is what a Service needs.
type Config struct {
	Store Store
	// Works says that this process carries releases out.
	Works bool
	Log   *slog.Logger
}

const (
	look       = 500 * time.Millisecond // how often the hold is looked at
	remind     = 10 * time.Minute       // how often the log is told of it
	sliceHeads = 64                     // messages of one transaction at most
)

// Service knows whether the database is held. It is safe for concurrent use.
type Service struct {
	cfg  Config
	me   string        // this process, in the record of a release
	free chan struct{} // closed once nothing is held
	once sync.Once
}

// Open looks whether the database is held.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	s := &Service{cfg: cfg, me: rand.Text(), free: make(chan struct{})}
	r, _, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if r.State == None || r.State == Released {
		s.release()
	}
	return s, nil
}

func (s *Service) release() { s.once.Do(func() { close(s.free) }) }

// Held says that nothing may be sent yet.
func (s *Service) Held() bool {
	select {
	case <-s.free:
		return false
	default:
		return true
	}
}

// After runs part once nothing is held any more; a process that stops before never does.
func (s *Service) After(part func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-s.free:
			return part(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// read answers the record and how it is stored.
func (s *Service) read(ctx context.Context) (*Record, string, error) {
	text, err := s.cfg.Store.Setting(ctx, store.HoldSetting)
	if err != nil {
		return nil, "", fmt.Errorf("look whether the database is held: %w", err)
	}
	r := &Record{State: None}
	if text == "" {
		return r, "", nil
	}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		return nil, "", fmt.Errorf("the setting %q cannot be read: %w", store.HoldSetting, err)
	}
	return r, text, nil
}

// Run looks at the hold until it is released, and carries the release out.
func (s *Service) Run(ctx context.Context) error {
	var told time.Time
	failing := 0
	for s.Held() {
		r, text, err := s.read(ctx)
		switch {
		case err != nil:
		case r.State == None || r.State == Released:
			s.release()
			s.cfg.Log.InfoContext(ctx, "the hold is released: messages are sent", "choice", string(r.Choice), "ended", r.Ended)
			return nil
		case r.State == Releasing && s.cfg.Works:
			if err = s.carryOut(ctx, r, text); errors.Is(err, errClaimed) {
				err, r.By = nil, "" // the next look sees how far it is
			}
		case time.Since(told) > remind:
			told = time.Now()
			s.cfg.Log.WarnContext(ctx, "the database was restored from a backup and is held: nothing is sent and no webhook is posted until `commserver queue release`",
				"backup", r.TakenAt.Time().UTC().Format(time.RFC3339), "mayHaveBeenSent", r.Queued+r.Sending)
		}
		if err != nil && ctx.Err() == nil {
			if failing++; failing&(failing-1) == 0 {
				s.cfg.Log.WarnContext(ctx, "the hold cannot be looked at or released now", "failures", failing, "err", err)
			}
		}
		if err == nil && r.State == Releasing && r.By == s.me {
			continue // it is released now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(look):
		}
	}
	return nil
}

// Status is the record as it is.
func (s *Service) Status(ctx context.Context) (*Record, error) {
	r, _, err := s.read(ctx)
	return r, err
}

// Waiting counts what is in the queue, at most most.
func (s *Service) Waiting(ctx context.Context, most int) (int, error) {
	return s.cfg.Store.QueueRows(ctx, most)
}

// NoteBackup says in the audit log that a backup is made.
func (s *Service) NoteBackup(ctx context.Context) error {
	return s.cfg.Store.Note(ctx, []store.AuditEntry{{Actor: store.ActorOf(ctx), Action: comm.AuditBackupTaken, Target: "backup", Detail: `{}`}})
}

// Release orders the release. The same order again is harmless; another one is refused once one was given. Errors:
// invalid_state where nothing is held.
func (s *Service) Release(ctx context.Context, c Choice) (*Record, error) {
	for {
		r, was, err := s.read(ctx)
		switch {
		case err != nil:
			return nil, err
		case r.State == None:
			return nil, comm.E("invalid_state", "Nothing is held: this database was not restored from a backup.").With("state", string(r.State))
		case r.State != Held && r.Choice == c:
			return r, nil
		case r.State != Held:
			return nil, comm.E("invalid_state", "The hold was released with %s already.", r.Choice).With("state", string(r.State))
		}
		if err := s.note(ctx, r, c); err != nil {
			return nil, err
		}
		r.State, r.Choice = Releasing, c
		if swapped, err := s.swap(ctx, was, r); err != nil || swapped {
			return r, err
		}
	}
}

func (s *Service) swap(ctx context.Context, was string, r *Record) (bool, error) {
	text, err := encode(r)
	if err != nil {
		return false, err
	}
	return s.cfg.Store.SwapSetting(ctx, store.HoldSetting, was, text)
}

// note says in the audit log what is about to happen.
func (s *Service) note(ctx context.Context, r *Record, c Choice) error {
	b, err := json.Marshal(map[string]any{"choice": map[string]string{"to": string(c)}, "backup": map[string]string{"to": r.TakenAt.Time().UTC().Format(time.RFC3339)}})
	if err != nil {
		return fmt.Errorf("encode an audit entry: %w", err)
	}
	return s.cfg.Store.Note(ctx, []store.AuditEntry{{Actor: store.ActorOf(ctx), Action: comm.AuditHoldReleased, Target: store.HoldSetting, Detail: string(b)}})
}

// claimed is how long a process may carry a release out without saying that it still does.
const claimed = 20 * time.Second

// errClaimed says that another process carries the release out.
var errClaimed = errors.New("another node carries the release out")

// task is a release that this process carries out, as it is stored.
type task struct {
	r    *Record
	was  string
	till time.Time // it is claimed anew before
}

// claim says that this process carries the release out, or still does. Two that did it at once would take what the first
// one's node sends after the release for what was under way before.
func (s *Service) claim(ctx context.Context, t *task) error {
	if time.Until(t.till) > claimed/2 {
		return nil
	}
	now, err := s.cfg.Store.Now(ctx)
	if err != nil {
		return err
	}
	if t.r.By != "" && t.r.By != s.me && t.r.Until > now {
		return errClaimed
	}
	t.r.By, t.r.Until, t.till = s.me, now.Add(claimed), time.Now().Add(claimed)
	text, err := encode(t.r)
	if err != nil {
		return err
	}
	if swapped, err := s.cfg.Store.SwapSetting(ctx, store.HoldSetting, t.was, text); err != nil || !swapped {
		return cmp.Or(err, errClaimed)
	}
	t.was = text
	return nil
}

// carryOut does what the choice demands, then lets everything go. Nobody sends meanwhile. What was done stays done: it may end anywhere and begin anew.
func (s *Service) carryOut(ctx context.Context, r *Record, was string) error {
	t := &task{r: r, was: was}
	if err := s.claim(ctx, t); err != nil {
		return err
	}
	if r.Choice != Send {
		n, err := s.endDoubtful(ctx, t)
		if err != nil {
			return err
		}
		r.Ended = n
	}
	if r.Choice == Fail {
		if err := s.claim(ctx, t); err != nil {
			return err
		}
		if err := s.wishAway(ctx); err != nil {
			return err
		}
	}
	now, err := s.cfg.Store.Now(ctx)
	if err != nil {
		return err
	}
	r.State, r.ReleasedAt = Released, now
	_, err = s.swap(ctx, t.was, r) // where another node was first, the next look sees it
	return err
}

// endDoubtful ends what is queued and may have been sent: of all apps, or of those whose policy says so.
func (s *Service) endDoubtful(ctx context.Context, t *task) (ended int64, err error) {
	for after := (comm.Unit{}); ; {
		units, err := s.cfg.Store.UnitsAfter(ctx, after, sliceHeads)
		if err != nil || len(units) == 0 {
			return ended, err
		}
		for _, u := range units {
			n, err := s.endUnit(ctx, u, t)
			if ended += n; err != nil {
				return ended, err
			}
		}
		after = units[len(units)-1]
	}
}

func (s *Service) endUnit(ctx context.Context, u comm.Unit, t *task) (ended int64, err error) {
	for at := (store.Head{}); ; {
		if err := s.claim(ctx, t); err != nil {
			return ended, err
		}
		windows, err := s.cfg.Store.Windows(ctx, []store.Ask{{Unit: u, After: at, Limit: sliceHeads}})
		if err != nil {
			return ended, err
		}
		page := windows[0]
		for heads := page; len(heads) > 0; {
			done, err := s.cfg.Store.EndDoubtful(ctx, u, heads, t.r.Choice == Policy, comm.ActorAdmin)
			if err == nil && done.Looked < 1 {
				err = errors.New("the store looked at none of the messages") // it would be asked for them for ever
			}
			if err != nil {
				return ended, err
			}
			ended += int64(done.Cancelled + done.Uncertain)
			at, heads = heads[done.Looked-1], heads[done.Looked:]
		}
		if len(page) < sliceHeads {
			return ended, nil
		}
	}
}

// wishAway sees that no further attempt follows those that were under way: they end as unknown.
func (s *Service) wishAway(ctx context.Context) error {
	all, err := s.cfg.Store.UnderWay(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		if _, _, err := s.cfg.Store.Cancel(ctx, all[i].Unit.App, all[i].ID, comm.ActorAdmin); err != nil && !comm.IsKind(err, comm.Missing) {
			return err
		}
	}
	return nil
}
