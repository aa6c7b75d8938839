package httpapi

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/hold"
	"github.com/commserver/commserver/internal/strictjson"
)

// Hold is the service that keeps a restored database from sending.
type Hold interface {
	Held() bool
	Status(ctx context.Context) (*hold.Record, error)
	Release(ctx context.Context, c hold.Choice) (*hold.Record, error)
	// Waiting counts what is in the queue, at most most.
	Waiting(ctx context.Context, most int) (int, error)
	// NoteBackup says in the audit log that a backup is made.
	NoteBackup(ctx context.Context) error
}

// backupPath is read, and noted in the audit log as a change is.
const backupPath = "/api/admin/backup"

// backupsAtOnce is how many backups a process makes at once: each reads everything.
const backupsAtOnce = 1

// getBackup is GET /api/admin/backup. The answer begins once there is something to send: what fails before is an error like any other.
func (a *API) getBackup(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	if a.backups.Add(1) > backupsAtOnce {
		a.backups.Add(-1)
		e := comm.E("unavailable", "A backup is being made already; try again when it has ended.")
		e.RetryAfter = 30
		return e
	}
	defer a.backups.Add(-1)
	if err := a.cfg.Hold.NoteBackup(r.Context()); err != nil {
		return err
	}
	conn := http.NewResponseController(w)
	_ = conn.SetWriteDeadline(time.Time{}) // until it is written to: a copy may be made first
	out := newExport(r.Context(), w)
	defer out.end()
	first := &beginning{export: out, head: w.Header()}
	if err := a.cfg.Backup(r.Context(), first); err != nil {
		if !first.begun {
			return err
		}
		a.stopped(r, err)
		panic(http.ErrAbortHandler) // breaking it off is the only way to say that it is not whole
	}
	return first.flush()
}

// beginning puts off what is written until there is more of it than the head, so that an error can still be answered.
type beginning struct {
	*export
	head  http.Header
	kept  []byte
	begun bool
}

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	const keep = 4 << 10
	if b.begun {
		return b.export.Write(p)
	}
	b.kept = append(b.kept, p...)
	if len(b.kept) < keep {
		return len(p), nil
	}
	return len(p), b.flush()
}

func (b *beginning) flush() error {
	if b.begun {
		return nil
	}
	b.begun = true
	b.head.Set("Content-Type", "application/octet-stream")
	b.head.Set("Content-Disposition", `attachment; filename="commserver.backup"`)
	_, err := b.export.Write(b.kept)
	return err
}

var _ io.Writer = (*beginning)(nil)

// holdView is the hold of a restored database.
type holdView struct {
	State           string  `json:"state"`
	BackupTakenAt   instant `json:"backupTakenAt"`
	RestoredAt      instant `json:"restoredAt"`
	ReleasedAt      instant `json:"releasedAt"`
	MayHaveBeenSent int64   `json:"mayHaveBeenSent"`
	Sending         int64   `json:"sending"`
	Doubtful        text    `json:"doubtful"`
	Ended           int64   `json:"ended"`
	Waiting         int     `json:"waiting"`
	AtLeast         bool    `json:"atLeast"`
}

// holdCounted is how much of the queue is counted.
const holdCounted = 100_000

func (a *API) writeHold(w http.ResponseWriter, r *http.Request, h *hold.Record) error {
	n, err := 0, error(nil)
	if h.State != hold.None { // else nothing waits for a release, and the console asks at each look
		if n, err = a.cfg.Hold.Waiting(r.Context(), holdCounted+1); err != nil {
			return err
		}
	}
	write(w, http.StatusOK, holdView{State: string(h.State), BackupTakenAt: instant(h.TakenAt), RestoredAt: instant(h.RestoredAt), ReleasedAt: instant(h.ReleasedAt),
		MayHaveBeenSent: h.Queued + h.Sending, Sending: h.Sending, Doubtful: text(h.Choice), Ended: h.Ended, Waiting: min(n, holdCounted), AtLeast: n > holdCounted})
	return nil
}

// getHold is GET /api/admin/hold.
func (a *API) getHold(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	h, err := a.cfg.Hold.Status(r.Context())
	if err != nil {
		return err
	}
	return a.writeHold(w, r, h)
}

// releaseHold is POST /api/admin/hold: the order is given, and carried out behind.
func (a *API) releaseHold(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body struct {
		Action   strictjson.Opt[string] `json:"action"`
		Doubtful strictjson.Opt[string] `json:"doubtful"`
	}
	if err := a.decode(w, r, &body, map[string]string{"action": "invalid_action"}); err != nil {
		return err
	}
	if body.Action.Value != "RELEASE" {
		return comm.E("invalid_action", "action must be RELEASE.").Field("action", "must be RELEASE")
	}
	for _, c := range hold.Choices() {
		if body.Doubtful.Value == string(c) {
			h, err := a.cfg.Hold.Release(r.Context(), c)
			if err != nil {
				return err
			}
			return a.writeHold(w, r, h)
		}
	}
	return comm.E("invalid_field", "Say what becomes of messages that may have been sent since the backup.").Field("doubtful",
		"must be SEND (send them, perhaps twice), POLICY (as each app's onUnknownOutcome says) or FAIL (never send them again)")
}
