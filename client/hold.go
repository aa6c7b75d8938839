package client

import (
	"context"
	"io"
	"net/http"
	"time"
)

const holdPath = "/api/admin/hold"

// What becomes of messages that may have been sent since a backup was made.
const (
	ReleaseSend   = "SEND"   // they are sent, perhaps a second time
	ReleasePolicy = "POLICY" // as onUnknownOutcome of each app says
	ReleaseFail   = "FAIL"   // they end FAILED: nothing is sent twice
)

// Hold is what keeps a server from sending that was restored from a backup.
type Hold struct {
	State           string     `json:"state"` // NONE, HELD, RELEASING, RELEASED
	BackupTakenAt   *time.Time `json:"backupTakenAt"`
	RestoredAt      *time.Time `json:"restoredAt"`
	ReleasedAt      *time.Time `json:"releasedAt"`
	MayHaveBeenSent int64      `json:"mayHaveBeenSent"`
	Sending         int64      `json:"sending"`
	Doubtful        *string    `json:"doubtful"`
	Ended           int64      `json:"ended"`
	Waiting         int        `json:"waiting"`
	AtLeast         bool       `json:"atLeast"`
}

// Hold reads whether the server is held.
func (a *Admin) Hold(ctx context.Context) (*Hold, error) {
	out := &Hold{}
	if _, err := a.c.do(ctx, call{method: http.MethodGet, path: holdPath, safe: true, admin: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Release lets the server send. It is carried out behind the answer: State is RELEASING until then.
func (a *Admin) Release(ctx context.Context, doubtful string) (*Hold, error) {
	out := &Hold{}
	body := map[string]string{"action": "RELEASE", "doubtful": doubtful}
	if _, err := a.c.do(ctx, call{method: http.MethodPost, path: holdPath, body: body, safe: true, admin: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Backup streams everything that is stored; the caller closes it. An error in the middle is one of reading: what was read
// is no backup then. Bound its time by ctx.
func (a *Admin) Backup(ctx context.Context) (io.ReadCloser, error) {
	return a.c.stream(ctx, http.MethodGet, "/api/admin/backup", "", "", nil)
}
