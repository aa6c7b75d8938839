// Package pgserver runs throw-away PostgreSQL servers for tests, benchmarks and
// crash runs.
//
// A server has a data directory of its own in a temporary folder, PostgreSQL's
// default durability unless it is Hasty, and listens on 127.0.0.1 and on a socket with a random
// password. It ends with the process that started it, even when that process is
// killed. Started by root it runs as an unprivileged user, because PostgreSQL
// refuses root.
//
// It finds server programs but never installs them, and it keeps no data: Stop
// removes everything.
package pgserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/freeport"
)

// superuser is the role that owns every server made here.
const superuser = "commserver"

// Options adjust a server. The zero value is right for most tests.
type Options struct {
	// Settings are added to postgresql.conf, values as they are written there.
	Settings map[string]string
	// Memory keeps the server's files in memory, where there is room.
	Memory bool
}

// Hasty makes a server that flushes nothing and keeps its files in memory if it can, so that
// databases are made and removed in a fraction of the time: each has hundreds of files, and each
// removal is a checkpoint, which else flushes every file made since the last one. Killed processes
// lose nothing, since the system has what they wrote; a power cut would. Not for what measures, nor
// where durability itself is tested.
func Hasty() Options {
	return Options{Memory: true, Settings: map[string]string{"fsync": "off", "full_page_writes": "off", "max_wal_size": "256MB"}}
}

// Server is one running PostgreSQL. Its methods are not safe for concurrent use,
// URL and SocketURL excepted.
type Server struct {
	bin      string // folder of the server programs
	root     string // everything of this server lies below
	port     int
	password string
	owner    owner
	guard    *exec.Cmd
	alive    *os.File // closing it, or dying, makes the guard end the server
}

// Mode is how a server is stopped by Restart.
type Mode string

// The modes there are: Fast ends sessions and writes a checkpoint, Immediate is a
// crash of all processes at once, followed by recovery.
const (
	Fast      Mode = "fast"
	Immediate Mode = "immediate"
)

// Start makes and starts a server. It takes about two seconds. Keep the Server for
// as long as its URLs are used: one that nothing refers to any more is ended.
func Start(ctx context.Context, opts Options) (*Server, error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	own, err := findOwner()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, owner: own, password: rand.Text()}
	if s.root, err = own.tempDir(opts.Memory); err != nil {
		return nil, err
	}
	if err := s.create(ctx, opts); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.root))
	}
	return s, nil
}

func (s *Server) create(ctx context.Context, opts Options) error {
	if err := s.initialise(ctx); err != nil {
		return err
	}
	if err := s.startGuard(); err != nil {
		return err
	}
	// A free port may be taken by someone else before the server listens on it.
	var err error
	for range 5 {
		if err = s.configure(opts); err != nil {
			break
		}
		if err = s.start(ctx); err == nil {
			return nil
		}
		if log, _ := os.ReadFile(s.path("log")); !bytes.Contains(log, []byte("could not bind")) {
			break
		}
	}
	return errors.Join(err, s.endGuard())
}

// URL is the connection string of a database of this server over 127.0.0.1.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, s.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// SocketURL is the connection string of a database over the Unix socket.
func (s *Server) SocketURL(database string) string {
	q := url.Values{"host": {s.root}, "port": {strconv.Itoa(s.port)}, "user": {superuser}, "password": {s.password}}
	return "postgres:///" + url.PathEscape(database) + "?" + q.Encode()
}

// Dir is the folder of everything that the server writes: its data in data, and its log.
func (s *Server) Dir() string { return s.root }

// Restart stops the server in the given mode and starts it again on the same port.
func (s *Server) Restart(ctx context.Context, mode Mode) error {
	if err := s.run(ctx, "pg_ctl", "stop", "-D", s.path("data"), "-m", string(mode), "-w"); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return s.start(ctx)
}

// Kill ends the server's main process with SIGKILL; its sessions die with it.
// Resume starts it again.
func (s *Server) Kill() error {
	pid, err := s.pid()
	if err != nil {
		return err
	}
	if err := kill(pid); err != nil {
		return fmt.Errorf("kill PostgreSQL: %w", err)
	}
	return nil
}

// Resume starts the server after Kill. It waits until the sessions of the killed
// server are gone, because PostgreSQL does not start before.
func (s *Server) Resume(ctx context.Context) error {
	for {
		err := s.start(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop ends the server and removes its data.
func (s *Server) Stop(ctx context.Context) error {
	// The guard would stop it as well, but in the mode that is for emergencies.
	err := s.run(ctx, "pg_ctl", "stop", "-D", s.path("data"), "-m", "fast", "-w")
	return errors.Join(err, s.endGuard())
}

func (s *Server) path(name string) string { return filepath.Join(s.root, name) }

func (s *Server) initialise(ctx context.Context) error {
	if err := os.WriteFile(s.path("password"), []byte(s.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	if err := s.owner.take(s.path("password")); err != nil {
		return err
	}
	args := []string{"-D", s.path("data"), "-U", superuser, "--pwfile", s.path("password"),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"}
	// People's databases sort by language. Testing on one that does shows where the
	// product relies on byte order without saying so.
	linguistic := append(slices.Clip(args), "--locale-provider", "icu", "--icu-locale", "en-US")
	if s.run(ctx, "initdb", linguistic...) == nil {
		return nil
	}
	// Servers before 15, and those built without ICU, know no such option.
	if err := os.RemoveAll(s.path("data")); err != nil {
		return fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	if err := s.run(ctx, "initdb", args...); err != nil {
		return fmt.Errorf("create a PostgreSQL data directory: %w", err)
	}
	return nil
}

// configure writes the settings with a port that is free now.
func (s *Server) configure(opts Options) error {
	ports, err := freeport.On(1)
	if err != nil {
		return err
	}
	s.port = ports[0]
	settings := map[string]string{
		"listen_addresses": "'127.0.0.1'", "port": strconv.Itoa(s.port), "unix_socket_directories": "'" + s.root + "'",
		"max_connections": "300", "shared_buffers": "128MB",
	}
	maps.Copy(settings, opts.Settings)
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&conf, "%s = %s\n", name, settings[name])
	}
	// postgresql.auto.conf is read last and belongs to the program that manages the server.
	file := s.path("data/postgresql.auto.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	return s.owner.take(file)
}

func (s *Server) start(ctx context.Context) error {
	err := s.run(ctx, "pg_ctl", "start", "-D", s.path("data"), "-l", s.path("log"), "-w", "-t", "60", "-s")
	if err != nil {
		log, _ := os.ReadFile(s.path("log"))
		return fmt.Errorf("start PostgreSQL: %w\n%s", err, log[max(0, len(log)-2000):])
	}
	return nil
}

// startGuard runs a shell that waits until this process has gone, in whatever way,
// and then ends the server and removes its files.
func (s *Server) startGuard() error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("guard PostgreSQL: %w", err)
	}
	const script = `cat >/dev/null; "$1/pg_ctl" stop -D "$2/data" -m immediate -w >/dev/null 2>&1; cd /; rm -rf "$2"`
	s.guard = s.command(context.Background(), "/bin/sh", "-c", script, "guard", s.bin, s.root)
	s.guard.Stdin = read
	apart(s.guard)
	if err := s.guard.Start(); err != nil {
		return errors.Join(fmt.Errorf("guard PostgreSQL: %w", err), read.Close(), write.Close())
	}
	s.alive = write
	return read.Close()
}

func (s *Server) endGuard() error {
	return errors.Join(s.alive.Close(), s.guard.Wait())
}

// run runs one of PostgreSQL's programs and puts its output into the error.
func (s *Server) run(ctx context.Context, program string, args ...string) error {
	cmd := s.command(ctx, filepath.Join(s.bin, program), args...)
	// A file, not a pipe: the server inherits it and would keep a pipe open for ever.
	out, err := os.CreateTemp(s.root, "out-")
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	defer func() { _ = os.Remove(out.Name()) }()
	cmd.Stdout, cmd.Stderr = out, out
	err = errors.Join(cmd.Run(), out.Close())
	if err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(text))
	}
	return nil
}

// command prepares a program run by the owner, without the caller's PG… variables.
func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.root
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "LC_ALL=C", "HOME=" + s.root, "TZ=UTC"}
	s.owner.runs(cmd)
	return cmd
}

// pid is the main process, as the server wrote it down.
func (s *Server) pid() (int, error) {
	text, err := os.ReadFile(s.path("data/postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("find the process of PostgreSQL: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return 0, fmt.Errorf("find the process of PostgreSQL: %w", err)
	}
	return pid, nil
}
