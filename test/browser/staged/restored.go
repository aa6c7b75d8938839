package staged

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/commserver/commserver/client"
)

// Restored starts simulator and server, gives the server a message that waits, takes a backup of it, and starts the server again
// on a database that was restored from that. It is held: nothing is sent before it is released.
func Restored(ctx context.Context, o Options) (*World, error) {
	w, err := Empty(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := w.restore(ctx, o); err != nil {
		return nil, errors.Join(err, w.Stop())
	}
	return w, nil
}

func (w *World) restore(ctx context.Context, o Options) error {
	live := false
	const slug = "harbour"
	made, err := w.admin.CreateApp(ctx, client.AdminApp{Name: "Harbour", Slug: slug, SandboxMode: &live})
	if err != nil {
		return fmt.Errorf("make an app: %w", err)
	}
	w.Apps[slug], w.Keys[slug] = made.App.ID, made.APIKey
	if _, err := w.admin.For(slug).Send(ctx, client.Message{Channel: client.SMS, To: "233241234567", Body: "The ferry leaves at nine."}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	file := filepath.Join(o.Dir, "of-now.backup")
	if err := w.run(ctx, o, "backup", "--url", w.URL, file); err != nil {
		return err
	}
	if err := w.server.stop(); err != nil {
		return err
	}
	again := filepath.Join(o.Dir, "restored")
	// The key ring is not in the backup: it is kept beside it, and put in place again.
	if err := os.CopyFS(again, os.DirFS(filepath.Join(o.Dir, "data"))); err != nil {
		return fmt.Errorf("copy the folder of data: %w", err)
	}
	databases, err := filepath.Glob(filepath.Join(again, "*.db*"))
	if err != nil {
		return fmt.Errorf("find the database: %w", err)
	}
	for _, name := range databases {
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("remove the database: %w", err)
		}
	}
	o.Env = append(slices.Clip(o.Env), "COMMS_DATA_DIR="+again)
	if err := w.run(ctx, o, "restore", file); err != nil {
		return err
	}
	return w.serve(ctx, o)
}

// run runs the program to its end, as the administrator.
func (w *World) run(ctx context.Context, o Options, words ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.Program, words...)
	cmd.Dir, cmd.Env = o.Dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir, "COMMS_ADMIN_KEY=" + adminKey}, o.Env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", words, err, said)
	}
	return nil
}
