package staged

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the database of the staged server

	"github.com/commserver/commserver/client"
)

// past gives the server a day in which much went well: messages of now are counted, and what was counted is written again for earlier
// minutes, fewer at night. The server is stopped for it, as somebody else's database is not written to.
func (w *World) past(ctx context.Context, o Options) error {
	if err := w.crowd(ctx); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(o.Dir, "data", "commserver.db"))
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer db.Close()
	if err := folded(ctx, db); err != nil {
		return err
	}
	if err := w.server.stop(); err != nil {
		return err
	}
	if err := repeat(ctx, db); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return w.serve(ctx, o)
}

// crowd sends some messages that arrive, and waits until they have.
func (w *World) crowd(ctx context.Context) error {
	people := []string{"Ama", "Kofi", "Esi", "Yaw", "Akua", "Kwame", "Abena", "Kojo", "Efua", "Kwesi"}
	for slug, n := range map[string]int{"market": 30, "parcels": 24, "taxi": 40, "workshop": 8} {
		messages := make([]client.Message, n)
		for i := range messages {
			name := people[i%len(people)]
			messages[i] = client.Message{Channel: "EMAIL", To: fmt.Sprintf("%s%d@example.com", name, i), Subject: fmt.Sprintf("Order %d", 1001+i), Body: "<p>Dear " + name + ", your order is on its way.</p>"}
			if slug == "taxi" {
				messages[i] = client.Message{Channel: "SMS", To: fmt.Sprintf("2332410%05d", i), Body: "Your taxi arrives in four minutes."}
			}
		}
		if _, err := w.admin.For(slug).SendBatch(ctx, messages); err != nil {
			return fmt.Errorf("send a crowd: %w", err)
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		s, err := w.admin.Stats(ctx, "1h", "")
		if err != nil {
			return fmt.Errorf("see the crowd: %w", err)
		}
		if s.Counts.Sent >= 102 && s.Counts.Delivered >= 64 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("of a crowd of 102 only %d were sent and %d delivered", s.Counts.Sent, s.Counts.Delivered)
		}
	}
}

// folded waits until everything is counted that happened.
func folded(ctx context.Context, db *sql.DB) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		var left int
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM tallies`).Scan(&left); err == nil && left == 0 {
			return nil
		} else if time.Now().After(deadline) {
			return fmt.Errorf("%d transactions are not counted yet: %w", left, err)
		}
	}
}

// repeat writes the counts of this minute again for others of the last day.
func repeat(ctx context.Context, db *sql.DB) error {
	// So many times an hour, from an hour ago back to a day ago.
	times := []int{9, 11, 10, 8, 9, 12, 13, 9, 7, 6, 3, 2, 1, 1, 1, 1, 2, 3, 5, 8, 9, 11, 12}
	for hour, n := range times {
		for i := range n {
			back := (time.Duration(hour+1)*time.Hour + time.Duration(1+i*60/(n+1))*time.Minute).Microseconds()
			if _, err := db.ExecContext(ctx, `INSERT INTO stats (app_id, span, start, counts, top) SELECT app_id, span, start - ?, counts, top FROM stats WHERE span = 60000000 AND start > (SELECT max(start) FROM stats WHERE span = 60000000) - 120000000 ON CONFLICT DO NOTHING`, back); err != nil {
				return fmt.Errorf("write the past: %w", err)
			}
		}
	}
	return nil
}
