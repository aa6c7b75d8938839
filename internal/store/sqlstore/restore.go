package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Doubt marks every live message that was queued and that its app wanted sent by the instant $2 as one that may have been sent: $1 is
// the flags. A later due time may have been brought forward since, as that of a retry is when a provider works again; what
// its app wants sent later has been sent by nobody.
const Doubt = `UPDATE state SET flags = flags | $1 WHERE status = 1 AND mode = 2 AND (due <= $2 OR scheduled_at <= $2)`

// Hold marks what may have been sent since the backup, and writes the setting that keeps everything from being sent, in the
// transaction, or the file that nobody has opened yet, in which a database is restored. A clock that is behind the backup's is not believed.
func Hold(ctx context.Context, q Querier, r *store.Restoring, now comm.Micros) error {
	var d store.Doubts
	head := r.From.Head()
	clock := now
	now = max(now, head.TakenAt)
	marks := comm.PossibleDuplicate | comm.UnknownInGeneration | comm.UnknownEver
	var err error
	if d.Queued, err = affected(ctx, q, Doubt, int64(marks), int64(now)); err != nil {
		return fmt.Errorf("mark what may have been sent: %w", err)
	}
	if err := q.QueryRowContext(ctx, `SELECT count(*) FROM state WHERE status = 2`).Scan(&d.Sending); err != nil {
		return fmt.Errorf("count what was being sent: %w", err)
	}
	value, err := r.Hold(now, d)
	if err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, goOnBehind, int64(head.TakenAt), int64(max(clock.Add(clockBehind), head.TakenAt)), int64(now), []byte(gap)); err != nil {
		return fmt.Errorf("leave the places out that may have been given to events since the backup: %w", err)
	}
	forget := []string{`DELETE FROM nodes`, `DELETE FROM holds`}
	if HasStep(head, stepOfSessions) {
		forget = append(forget, `DELETE FROM sessions`) // some were ended since
	}
	for _, text := range forget {
		if _, err := q.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("forget nodes and sessions of the backup: %w", err)
		}
	}
	_, err = q.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, store.HoldSetting, value)
	if err != nil {
		return fmt.Errorf("hold what was restored: %w", err)
	}
	return nil
}

// goOnBehind makes every app's events go on behind each place that was given out since the backup: $1 is the instant of the backup, $2 that of the
// restore with clockBehind, $3 when the row was made, $4 the items of a gap. No app has a million events a second, so that its places lie no further
// ahead of the clock than they did in the backup: those that an earlier restore has led to, of the same backup or of one since, are passed
// too, also where it was led by a clock that went ahead. That takes a clock which has not gone back since that other restore.
const goOnBehind = `INSERT INTO feed (app_id, last, at, items) SELECT x.id, CASE WHEN x.last > $1 THEN x.last - $1 ELSE 0 END + $2 + 1, $3, $4
FROM (SELECT a.id, coalesce((SELECT max(f.last) FROM feed f WHERE f.app_id = a.id), 0) AS last FROM apps a) x`

// clockBehind is how far the clock of a restore may be behind that of its backup: restores with such a clock still lead to different places, and
// a later one with the right clock behind theirs.
const clockBehind = 30 * 24 * time.Hour

// The steps that make the tables of the feed and of sessions.
const (
	stepOfFeed     = "0015_feed"
	stepOfSessions = "0023_users"
)

// HasStep says whether a backup's database had a step of the schema.
func HasStep(h *store.BackupHead, name string) bool {
	return slices.ContainsFunc(h.Schema, func(s store.SchemaStep) bool { return s.Name == name })
}

// StepsOf are those of the steps that a backup's database had. Errors: it had one that this binary does not know, or another text of one.
func StepsOf(list []Migration, h *store.BackupHead) ([]Migration, error) {
	if _, err := h.Newest(); err != nil {
		return nil, err
	}
	known := map[string]Migration{}
	for _, m := range list {
		known[m.Name] = m
	}
	var out []Migration
	for _, step := range h.Schema {
		m, ok := known[step.Name]
		switch {
		case !ok:
			return nil, fmt.Errorf("the backup was made by a newer version (its schema has step %s): restore it with that version or a later one", step.Name)
		case m.Sum != step.Sum:
			return nil, fmt.Errorf("the backup was made by another build (its step %s has another text)", step.Name)
		}
		out = append(out, m)
	}
	if !HasStep(h, stepOfFeed) { // the first version that made backups had it
		return nil, fmt.Errorf("the backup's schema lacks step %s, which every version had that makes backups", stepOfFeed)
	}
	slices.SortFunc(out, func(a, b Migration) int { return slices.Index(names(list), a.Name) - slices.Index(names(list), b.Name) })
	for i := range out {
		if out[i].Name != list[i].Name {
			return nil, fmt.Errorf("the backup's schema lacks step %s", list[i].Name)
		}
	}
	return out, nil
}

func names(list []Migration) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].Name
	}
	return out
}

// Steps reads which steps a database has, by name.
func Steps(ctx context.Context, q Querier) ([]store.SchemaStep, error) {
	rows, err := q.QueryContext(ctx, `SELECT name, sum FROM schema_migrations ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []store.SchemaStep
	for rows.Next() {
		var s store.SchemaStep
		if err := rows.Scan(&s.Name, &s.Sum); err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// SameRows compares the rows of a backup with those that were restored.
func SameRows(want, got map[string]int64) error {
	for _, table := range slices.Sorted(maps.Keys(want)) {
		if want[table] != got[table] {
			return fmt.Errorf("the backup is damaged: it should have %d rows of %s and has %d", want[table], table, got[table])
		}
	}
	if len(want) != len(got) {
		return fmt.Errorf("the backup is damaged: it should have %d tables and has %d", len(want), len(got))
	}
	return nil
}
