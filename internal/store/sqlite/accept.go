package sqlite

import (
	"bytes"
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store"
)

var (
	qKeyInsert = &query{`INSERT INTO idempotency (app_id, mode, hash, id, fingerprint) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`}
	qKeySelect = &query{`SELECT i.id, i.fingerprint, s.status FROM idempotency i LEFT JOIN state s ON s.id = i.id AND s.app_id = i.app_id
		WHERE i.app_id = ? AND i.mode = ? AND i.hash = ?`}
	qContentInsert = &query{`INSERT INTO content (app_id, id, recipient, payload, files) VALUES (?, ?, ?, ?, ?)`}
	qFileInsert    = &query{`INSERT INTO files (app_id, id, n, filename, content_type, content) VALUES (?, ?, ?, ?, ?, ?)`}
	qStateInsert   = &query{`INSERT INTO state (app_id, id, shard, channel, lane, mode, on_unknown, status, created_at, updated_at, scheduled_at,
		due, expires_at, generation, attempts, round, round_since, sequence, epoch, flags, provider, provider_id, provider_ref, error_code,
		error_text, sent_at, delivered_at, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, 1, 0, 0, 0, 1, 0, 0, '', x'00000000000000000000000000000000', '', '', '', 0, 0, ?)`}
	qQueueInsert   = &query{`INSERT INTO queue (shard, app_id, channel, lane, due, id, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)`}
	qAcceptedEvent = &query{`INSERT INTO events (app_id, message_id, sequence, type, from_status, to_status, at, generation, attempt, epoch, node,
		actor, provider, provider_id, ref, error_code, detail) VALUES (?, ?, 1, 1, 0, 1, ?, 1, 0, 0, ?, '', '', x'00000000000000000000000000000000', '', '', '')`}
)

// Accept implements store.Intake in one pass of single-row statements.
func (s *Store) Accept(ctx context.Context, subs []store.Submission) ([]store.Accepted, error) {
	if len(subs) == 0 {
		return nil, s.w.refused()
	}
	if err := s.disk.check(); err != nil {
		return nil, refuse(err)
	}
	g := acceptGroup{subs: subs, out: make([]store.Accepted, len(subs)), rates: &s.rates}
	o := op{rows: len(subs), undo: g.undo, hot: func(r *raw) error { return g.run(r, s.now()) }}
	if plant.Active(plant.SelectThenInsert) {
		s.selectFirst(ctx, &g, &o)
	}
	if err := s.w.do(ctx, &o); err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	if plant.Active(plant.EventAfterCommit) {
		if err := s.w.hot(ctx, len(subs), g.events); err != nil {
			return nil, fmt.Errorf("accept: %w", err)
		}
	}
	s.recent.put(subs, g.out, g.now)
	s.index.wake()
	return g.out, nil
}

// acceptGroup is one call of Accept. It may run twice: everything is assigned anew.
type acceptGroup struct {
	subs    []store.Submission
	out     []store.Accepted
	now     comm.Micros
	rates   *rates
	counted []comm.ID // in rates, by this run
	written []comm.ID // rows of rates
	days    days      // of apps with a cap
}

func (g *acceptGroup) run(r *raw, now comm.Micros) error {
	g.now, g.counted, g.written, g.days = now, g.counted[:0], nil, nil
	g.rates.turn(now)
	for i := range g.subs {
		if err := g.submit(r, &g.subs[i], &g.out[i]); err != nil {
			return err
		}
	}
	if err := g.days.write(r, now); err != nil {
		return err
	}
	var err error
	g.written, err = g.rates.write(r)
	return err
}

// undo takes back what a run counted whose transaction was rolled back.
func (g *acceptGroup) undo() {
	for _, app := range g.counted {
		g.rates.count(app, -1)
	}
	for _, app := range g.written {
		g.rates.behind(app)
	}
	g.counted, g.written = g.counted[:0], nil
}

func (g *acceptGroup) submit(r *raw, sub *store.Submission, out *store.Accepted) error {
	used, err := g.rates.used(r, sub.App)
	if err != nil {
		return err
	}
	*out = store.Accepted{RateUsed: used, RateReset: g.rates.minute + minute}
	fits := used < sub.RatePerMinute
	refusal, over, err := g.days.over(r, sub, g.now)
	if err != nil {
		return err
	}
	if sub.HasKey {
		known, err := g.known(r, sub, out, fits && !over)
		if err != nil || known {
			return err
		}
	}
	if over {
		out.Result, out.Cap, out.Use = refusal.Result, refusal.Cap, refusal.Use
		return nil
	}
	g.rates.count(sub.App, 1)
	g.counted = append(g.counted, sub.App)
	out.RateUsed = used + 1
	if !fits {
		out.Result = store.RateLimited
		return nil
	}
	if len(sub.Caps) > 0 {
		g.days.count(sub, out, g.now)
	}
	return g.store(r, sub, out)
}

// known claims the idempotency key if the submission may be stored, and answers
// whether the key exists already: then out is complete.
func (g *acceptGroup) known(r *raw, sub *store.Submission, out *store.Accepted, claim bool) (bool, error) {
	if claim {
		n, err := r.run(qKeyInsert, sub.App[:], int64(sub.Mode), sub.KeyHash[:], sub.ID[:], sub.Fingerprint[:])
		if err != nil {
			return false, fmt.Errorf("claim idempotency key: %w", err)
		}
		if n == 1 {
			return false, nil
		}
	}
	row, err := r.one(qKeySelect, sub.App[:], int64(sub.Mode), sub.KeyHash[:])
	if err != nil {
		return false, fmt.Errorf("read idempotency key: %w", err)
	}
	if row == nil {
		return false, nil
	}
	if !bytes.Equal(blob(row[1]), sub.Fingerprint[:]) {
		out.Result = store.Conflict
		return true, nil
	}
	out.Result, out.ID, out.Status = store.Replay, idOf(row[0]), comm.Status(num(row[2]))
	return true, nil
}

func (g *acceptGroup) store(r *raw, sub *store.Submission, out *store.Accepted) error {
	app, id, now, bytes := sub.App[:], sub.ID[:], int64(g.now), sub.Bytes()
	due := max(g.now, sub.ScheduledAt)
	var expires int64
	if sub.TTL > 0 {
		expires = int64(due) + sub.TTL
	}
	payload := sub.Payload
	if payload == nil {
		payload = []byte{}
	}
	if _, err := r.run(qContentInsert, app, id, sub.Recipient, payload, int64(len(sub.Files))); err != nil {
		return fmt.Errorf("store content: %w", err)
	}
	for n := range sub.Files {
		f := &sub.Files[n]
		content := f.Content
		if content == nil {
			content = []byte{}
		}
		if _, err := r.run(qFileInsert, app, id, int64(n), f.Filename, f.ContentType, content); err != nil {
			return fmt.Errorf("store file: %w", err)
		}
	}
	if _, err := r.run(qStateInsert, app, id, int64(sub.Shard), int64(sub.Channel), int64(sub.Lane), int64(sub.Mode), int64(sub.OnUnknown),
		now, now, int64(sub.ScheduledAt), int64(due), expires, bytes); err != nil {
		return fmt.Errorf("store state: %w", err)
	}
	if _, err := r.run(qQueueInsert, int64(sub.Shard), app, int64(sub.Channel), int64(sub.Lane), int64(due), id, bytes); err != nil {
		return fmt.Errorf("store queue row: %w", err)
	}
	if !plant.Active(plant.EventAfterCommit) {
		if _, err := r.run(qAcceptedEvent, app, id, now, sub.Node); err != nil {
			return fmt.Errorf("store event: %w", err)
		}
		counted(r, sub, g.now)
	}
	listed, err := suppressed(r, sub.App, sub.Channel, sub.Recipient)
	if err != nil {
		return err
	}
	out.Result, out.ID, out.Status, out.Due, out.Suppressed = store.New, sub.ID, comm.Queued, due, listed
	return nil
}

// KnownKey implements store.Intake.
func (s *Store) KnownKey(ctx context.Context, app comm.ID, mode comm.Mode, hash [16]byte) (k store.Known, err error) {
	found := false
	err = s.readers.with(ctx, func(r *raw) error {
		row, err := r.one(qKeySelect, app[:], int64(mode), hash[:])
		if err != nil || row == nil {
			return err
		}
		found = true
		k.ID, k.Status = idOf(row[0]), comm.Status(num(row[2]))
		copy(k.Fingerprint[:], blob(row[1]))
		return nil
	})
	if err == nil && !found {
		return k, comm.E("not_found")
	}
	if err != nil {
		return k, fmt.Errorf("look up idempotency key: %w", err)
	}
	return k, nil
}
