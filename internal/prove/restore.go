package prove

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// saved is the backup that was taken under load.
type saved struct {
	file             string
	known, cancelled map[string]bool // ids: answered, and answered to a CANCEL, before it was begun
}

// command runs the program to its end, as an operator at the first node.
func (r *run) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.cfg.Binary, args...)
	cmd.Dir = r.cfg.Dir
	cmd.Env = append(append(os.Environ(), r.cfg.Env...), "COMMS_URL=http://"+r.nodes[0].addr)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("commserver %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// save takes a backup once half of the messages are accepted, and again until no fault has met it.
func (r *run) save(ctx context.Context) {
	if r.cfg.Restore == "" {
		return
	}
	for n := 0; ctx.Err() == nil; n++ {
		if r.history.accepted() < r.cfg.Messages/2 {
			pause(ctx, 20*time.Millisecond)
			continue
		}
		s := &saved{file: filepath.Join(r.cfg.Dir, fmt.Sprintf("%d.backup", n))}
		s.known, s.cancelled = r.history.known()
		if _, err := r.command(ctx, "backup", s.file); err == nil {
			r.mu.Lock()
			r.saved = s
			r.mu.Unlock()
			return
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (r *run) isSaved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.saved != nil || r.cfg.Restore == ""
}

// known lists the ids that answers have named, and those of messages whose CANCEL was answered 200.
func (h *history) known() (ids, cancelled map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids, cancelled = map[string]bool{}, map[string]bool{}
	for _, e := range h.entries {
		for id := range e.IDs {
			ids[id] = true
			if e.Cancelled > 0 {
				cancelled[id] = true
			}
		}
	}
	return ids, cancelled
}

// goOn stops the nodes, restores the backup elsewhere, lets nodes take load there while they are held and after their release, and adds to the
// report what the checker says of it all. before is every message as the old nodes told it.
func (r *run) goOn(ctx context.Context, rep *Report, before map[string]*Message) error {
	if r.saved == nil {
		return fmt.Errorf("no backup was made within %s", r.cfg.Limit)
	}
	ev := &Restored{Choice: r.cfg.Restore, Entries: r.history.all(), Known: r.saved.known, Cancelled: r.saved.cancelled, Before: before, Feeds: make([]Feed, len(r.apps))}
	cursors := make([]string, len(r.apps))
	for i, a := range r.apps {
		var err error
		if ev.Feeds[i].Old, cursors[i], err = r.readFeed(ctx, a, ""); err != nil {
			return err
		}
		ev.Policies, ev.Hooked = append(ev.Policies, a.policy), append(ev.Hooked, a.endpoint != "")
	}
	r.stopNodes()
	ev.Sunk = r.sinks.Ledger()
	doubtful, err := r.move(ctx)
	if err != nil {
		return err
	}
	rep.Doubtful = doubtful
	if err := r.release(ctx, rep); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return fmt.Errorf("ask for unanswered requests: %w", err)
	}
	if ev.After, err = r.collect(ctx); err != nil {
		return fmt.Errorf("read the messages back: %w", err)
	}
	var waits []Wait
	if ev.Heard, waits, err = r.listen(ctx, ev.After); err != nil {
		return fmt.Errorf("ask for what webhooks are to tell: %w", err)
	}
	if err := r.feeds(ctx, ev, cursors); err != nil {
		return err
	}
	ev.Ledger = r.sinks.Ledger()
	r.judge(rep, ev, waits)
	return nil
}

// move restores the backup in a place of its own and starts nodes there; doubtful is how many messages may have been sent.
func (r *run) move(ctx context.Context) (doubtful int, err error) {
	r.cfg.Dir = filepath.Join(r.cfg.Dir, "restored")
	r.cfg.Env = append(r.cfg.Env, "COMMS_DATABASE_URL="+r.cfg.RestoreInto)
	if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
		return 0, fmt.Errorf("make the scratch folder: %w", err)
	}
	if _, err := r.command(ctx, "restore", r.saved.file); err != nil {
		return 0, err
	}
	r.nodes = nil
	if err := r.startNodes(ctx); err != nil {
		return 0, err
	}
	out, err := r.command(ctx, "queue", "held", "--json")
	if err != nil {
		return 0, err
	}
	var held struct {
		State           string
		MayHaveBeenSent int
	}
	if err := json.Unmarshal([]byte(out), &held); err != nil || held.State != "HELD" {
		return 0, fmt.Errorf("what was restored is not held: %s", out)
	}
	return held.MayHaveBeenSent, nil
}

// release sends messages to the held nodes, sees that nothing leaves them, releases the hold and goes on for a moment.
func (r *run) release(ctx context.Context, rep *Report) error {
	load, stop := context.WithCancel(ctx)
	defer stop()
	r.cfg.Rate = 100
	copies, posts := r.sinks.Copies(), r.hooks.posts()
	var wg sync.WaitGroup
	for i := range r.cfg.Clients {
		wg.Go(func() { r.client(load, uint64(r.cfg.Clients+i)) })
	}
	pause(ctx, pauseHeld)
	if n, m := r.sinks.Copies()-copies, r.hooks.posts()-posts; n > 0 || m > 0 {
		rep.violated("R1", "%d copies were sent and %d webhooks posted while everything was held", n, m)
	}
	if _, err := r.command(ctx, "queue", "release", "--yes", "--doubtful", strings.ToLower(r.cfg.Restore)); err != nil {
		return err
	}
	pause(ctx, pauseHeld)
	stop()
	wg.Wait()
	return nil
}

// feeds reads every app's feed on from the old places, and from the beginning, once it tells of everything.
func (r *run) feeds(ctx context.Context, ev *Restored, cursors []string) (err error) {
	for i, a := range r.apps {
		f := &ev.Feeds[i]
		for deadline := time.Now().Add(r.cfg.Drain); ; pause(ctx, 200*time.Millisecond) {
			if f.Whole, _, err = r.readFeed(ctx, a, ""); err != nil {
				return err
			}
			if len(f.Whole) >= r.events(ev.After, i) || time.Now().After(deadline) {
				break
			}
		}
		if f.On, _, err = r.readFeed(ctx, a, cursors[i]); err != nil {
			return err
		}
	}
	return nil
}

// events is how many an app's messages have.
func (r *run) events(messages map[string]*Message, app int) (n int) {
	for _, e := range r.history.all() {
		for id := range e.IDs {
			if m := messages[id]; m != nil && e.App == app {
				n += len(m.Events)
			}
		}
	}
	return n
}

// readFeed reads an app's feed behind a cursor to its end for now, and answers the last cursor.
func (r *run) readFeed(ctx context.Context, a app, cursor string) (all []Told, last string, err error) {
	web := &http.Client{Timeout: 30 * time.Second}
	defer web.CloseIdleConnections()
	for last = cursor; ; {
		path := "/api/v1/events?limit=100"
		if last != "" {
			path += "&after=" + url.QueryEscape(last)
		}
		var page struct {
			Data []struct {
				EventID, Type string
				Sequence      int
				Message       struct{ ID, Status string }
			}
			NextCursor string
		}
		if err := r.read(ctx, web, a, path, &page); err != nil {
			return nil, "", err
		}
		for _, e := range page.Data {
			all = append(all, Told{EventID: e.EventID, Type: e.Type, Message: e.Message.ID, Status: e.Message.Status, Sequence: e.Sequence})
		}
		if last = page.NextCursor; len(page.Data) == 0 {
			return all, last, nil
		}
	}
}

// judge holds what came after the restore to the contract as any other run, and the rest to what the backup promises.
func (r *run) judge(rep *Report, ev *Restored, waits []Wait) {
	old := map[*Entry]bool{}
	ledger := maps.Clone(ev.Ledger)
	for _, e := range ev.Entries {
		old[e] = true
		delete(ledger, e.Name)
	}
	fresh := Evidence{Policies: ev.Policies, Hooked: ev.Hooked, Messages: ev.After, Heard: map[string]*Heard{}, Ledger: ledger, Waits: waits}
	for _, e := range r.history.all() {
		if old[e] {
			continue
		}
		fresh.Entries = append(fresh.Entries, e)
		for id := range e.IDs {
			m := ev.After[id]
			for i := 0; m != nil && i < len(m.Events); i++ {
				if name := m.eventID(&m.Events[i]); ev.Heard[name] != nil {
					fresh.Heard[name] = ev.Heard[name]
				}
			}
		}
	}
	found := Check(fresh)
	for _, v := range found.Violations {
		rep.violated("restored", "%s", v)
	}
	rep.Fresh = found.Accepted
	rep.Restored = new(CheckRestored(ev, &rep.Findings))
	for _, n := range r.nodes {
		if n.crashed() {
			r.history.note("%s ended by itself after the restore; see its log", n.name)
		}
	}
	rep.Notes = r.history.notes
}
