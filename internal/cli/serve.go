package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/app"
)

const serveHelp = `Starts API and worker on one address. Without any configuration it listens on
http://localhost:3008 and keeps everything in an SQLite file in ./data.

SIGTERM or SIGINT stops it: running requests and provider calls end first (COMMS_DRAIN_TIMEOUT),
shards are handed over to other nodes. A second signal ends it at once; nothing accepted is lost either way.

Every option is an environment variable, or a file that the variable with _FILE at its end names, and all but the
secrets are flags; a secret has a flag for its file alone. See 'commserver config' and docs/config.md.`

func serveCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Long:  serveHelp,
		Example: `  commserver serve
  COMMS_ADDR=:8080 commserver serve
  commserver serve --role worker --database-url-file /run/secrets/database-url`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, s) },
	}
	bindOptions(cmd)
	return cmd
}

func serve(cmd *cobra.Command, s Streams) error {
	cfg, err := loadConfig(cmd, s)
	if err != nil {
		return err
	}
	log := newLog(cfg, s.Err)
	for _, w := range cfg.Warnings() {
		log.Warn("configuration", "warning", w)
	}
	app.TuneMemory()
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// From the second signal on the default applies: the process ends at once.
	go func() { <-ctx.Done(); stop() }()
	a, err := app.New(ctx, cfg, app.Options{Version: buildVersion(), Log: log, OnFirst: func(f app.First) { printFirst(s.Out, f) }, KeysInFiles: s.toJournal()})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) { // as while it waited for PostgreSQL
		log.Info("stopped before it was ready")
		return nil
	}
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// printFirst tells a new operator how to send the first message.
func printFirst(w io.Writer, f app.First) {
	if f.AppID == "" {
		printNoApp(w, f)
		return
	}
	shown, key := "is shown this once", f.APIKey
	if f.APIKeyFile != "" {
		shown, key = "stands in a file, since this output is kept", f.APIKeyFile
	}
	fmt.Fprintf(w, `
CommServer is running on %[1]s

A sandbox app "%[2]s" was made for you. Its API key %[4]s:

  %[5]s

Send a first message (the sandbox delivers nothing to anybody):

  curl -X POST %[1]s/api/v1/messages \
    -H "X-App-ID: %[2]s" \
    -H "X-API-Key: %[3]s" \
    -H "Content-Type: application/json" \
    -d '{"channel":"SMS","to":"233241234567","body":"Hello from CommServer","idempotencyKey":"welcome-user-42"}'

See what became of it, in the console or here:

  %[1]s/console
  curl -H "X-App-ID: %[2]s" -H "X-API-Key: %[3]s" %[1]s/api/v1/messages

The documentation of this version: %[1]s/docs

`, f.BaseURL, f.AppID, usedAs(f), shown, key)
	switch {
	case f.AdminKeyFile == "":
	case f.AdminKey == "":
		fmt.Fprintf(w, "The admin key, which opens the console, stands in a file, too:\n\n  %s\n\n", f.AdminKeyFile)
	default:
		fmt.Fprintf(w, "The admin key, which opens the console, shown this once and kept in %s:\n\n  %s\n\n", f.AdminKeyFile, f.AdminKey.Reveal())
	}
}

// usedAs is the demo app's key as a shell's command has it.
func usedAs(f app.First) string {
	if f.APIKeyFile != "" {
		return "$(sudo cat " + f.APIKeyFile + ")"
	}
	return f.APIKey
}

// printNoApp tells the operator of a shared database without apps how to make one: first what works at once.
func printNoApp(w io.Writer, f app.First) {
	fmt.Fprintf(w, `
CommServer is running on %[1]s. Its database has no app yet.

Create the first one in the console, with the admin key of COMMS_ADMIN_KEY:

  %[1]s/console

or by a command, where COMMS_ADMIN_KEY is set. It shows the app's key this once:

  COMMS_URL=%[1]s commserver app create "My app" --slug my-app

`, f.BaseURL)
	if f.Provisioning {
		fmt.Fprintf(w, `A program creates apps by the provisioning key:

  curl -X POST %s/api/provision/apps \
    -H "X-Provisioning-Key: $COMMS_PROVISIONING_KEY" \
    -H "Content-Type: application/json" \
    -d '{"name":"My app","slug":"my-app","scopes":["SEND","READ","PROVIDERS"]}'

`, f.BaseURL)
	} else {
		fmt.Fprint(w, "Set COMMS_PROVISIONING_KEY to 32 random characters (openssl rand -hex 32) on every node and restart, if programs are to create apps.\n\n")
	}
	fmt.Fprintf(w, "The documentation of this version: %s/docs\n\n", f.BaseURL)
}
