package postgres

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// An announcement is text, because that is what NOTIFY carries: the sender's name,
// a colon, and the wakes packed into wakeSize bytes each, in base64.
const (
	channel    = "commserver"
	nameLength = 12
	wakeSize   = 1 + 16 + 1 + 1 + 8
	// payloadLimit is below the server's 8000 bytes.
	payloadLimit = 7900
	wakesEach    = (payloadLimit - nameLength - 1) / 4 * 3 / wakeSize

	// pollEvery is the beat of a node that cannot listen.
	pollEvery = 100 * time.Millisecond
	// listenCheck is how often a silent connection is asked whether it lives.
	listenCheck = 5 * time.Second
)

// wakes gathers announcements while one is on its way. It is safe for concurrent use.
type wakes struct {
	mu      sync.Mutex
	pending map[comm.Unit]comm.Micros
	sending bool
}

// add merges announcements; lead says that the caller has to send until nothing is left.
func (w *wakes) add(list []store.Wake) (lead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending == nil {
		w.pending = make(map[comm.Unit]comm.Micros, len(list))
	}
	for _, x := range list {
		if due, there := w.pending[x.Unit]; !there || x.Due < due {
			w.pending[x.Unit] = x.Due
		}
	}
	lead = !w.sending && len(w.pending) > 0
	w.sending = w.sending || lead
	return lead
}

// take answers what has gathered; nothing ends the sending.
func (w *wakes) take() map[comm.Unit]comm.Micros {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.pending
	w.pending = nil
	if len(out) == 0 {
		w.sending = false
	}
	return out
}

// drop ends the sending after a failure; what has gathered is lost, as announcements may be.
func (w *wakes) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending, w.sending = nil, false
}

// Announce implements store.Announcer. While one announcement is on its way, the
// next ones wait for it together: the call that sends also sends them.
func (s *Store) Announce(ctx context.Context, list []store.Wake) error {
	if !s.wakes.add(list) {
		return nil
	}
	for {
		units := s.wakes.take()
		if len(units) == 0 {
			return nil
		}
		if err := s.notify(ctx, units); err != nil {
			s.wakes.drop()
			return err
		}
	}
}

func (s *Store) notify(ctx context.Context, units map[comm.Unit]comm.Micros) error {
	payloads := payloadsOf(s.name, units)
	return s.exec(ctx, "announce", func(b *pgx.Batch) {
		for _, p := range payloads {
			b.Queue(`SELECT pg_notify('`+channel+`', $1)`, p)
		}
	})
}

func payloadsOf(name string, units map[comm.Unit]comm.Micros) (out []string) {
	packed := make([]byte, 0, min(len(units), wakesEach)*wakeSize)
	flush := func() {
		if len(packed) > 0 {
			out = append(out, name+":"+base64.RawStdEncoding.EncodeToString(packed))
			packed = packed[:0]
		}
	}
	for u, due := range units {
		packed = append(packed, byte(u.Shard))
		packed = append(packed, u.App[:]...)
		packed = append(packed, byte(u.Channel), byte(u.Lane))
		packed = binary.BigEndian.AppendUint64(packed, uint64(due))
		if len(packed) == wakesEach*wakeSize {
			flush()
		}
	}
	flush()
	return out
}

var errBadPayload = errors.New("an announcement that is not ours")

func parsePayload(text string) (sender string, out []store.Wake, err error) {
	sender, body, _ := strings.Cut(text, ":")
	packed, err := base64.RawStdEncoding.DecodeString(body)
	if err != nil || len(packed) == 0 || len(packed)%wakeSize != 0 {
		return sender, nil, errBadPayload
	}
	for ; len(packed) > 0; packed = packed[wakeSize:] {
		var w store.Wake
		w.Unit.Shard = comm.Shard(packed[0])
		copy(w.Unit.App[:], packed[1:17])
		w.Unit.Channel, w.Unit.Lane = comm.Channel(packed[17]), comm.Lane(packed[18])
		w.Due = comm.Micros(binary.BigEndian.Uint64(packed[19:]))
		out = append(out, w)
	}
	return sender, out, nil
}

// errPooler says that a connection that should be direct goes through a pooler.
var errPooler = errors.New("the direct database connection goes through a pooler")

// Listen implements store.Announcer. Behind a pooler, where nobody could hear
// anything, it calls heard with nil every tenth of a second instead.
func (s *Store) Listen(ctx context.Context, heard func([]store.Wake)) error {
	if s.listenPooled {
		return poll(ctx, heard)
	}
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := s.listenOnce(ctx, heard)
		if errors.Is(err, errPooler) {
			s.log.Warn("announcements cannot be heard, polling instead", "error", err)
			return poll(ctx, heard)
		}
		if ctx.Err() != nil {
			break
		}
		s.hearing.Failed(err)
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
		heard(nil)
	}
	return ctx.Err()
}

func poll(ctx context.Context, heard func([]store.Wake)) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			heard(nil)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listenOnce listens on a connection of its own until that ends.
func (s *Store) listenOnce(ctx context.Context, heard func([]store.Wake)) error {
	limit, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c, err := pgx.ConnectConfig(limit, s.listen.Copy())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.Close(end) // the connection is of no further use
	}()
	var pid int64
	if err := c.QueryRow(limit, `SELECT pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return fmt.Errorf("look at the connection: %w", err)
	}
	if uint32(pid) != c.PgConn().PID() {
		return errPooler
	}
	if _, err := c.Exec(limit, `LISTEN `+channel, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.hearing.Worked()
	heard(nil) // what was announced before now was not heard
	for {
		n, err := s.waitNotice(ctx, c)
		if err != nil {
			return err
		}
		sender, list, err := parsePayload(n)
		if err == nil && sender != s.name {
			heard(list)
		}
	}
}

// waitNotice answers the next payload, and sees to it that a silent connection is alive.
func (s *Store) waitNotice(ctx context.Context, c *pgx.Conn) (string, error) {
	for {
		wait, cancel := context.WithTimeout(ctx, listenCheck)
		n, err := c.WaitForNotification(wait)
		cancel()
		if err == nil {
			return n.Payload, nil
		}
		if ctx.Err() != nil || !pgconn.Timeout(err) || c.IsClosed() {
			return "", fmt.Errorf("wait for announcements: %w", err)
		}
		check, cancel := context.WithTimeout(ctx, listenCheck)
		err = c.Ping(check)
		cancel()
		if err != nil {
			return "", fmt.Errorf("check the connection for announcements: %w", err)
		}
	}
}
