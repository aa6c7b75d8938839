package cli

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/provider"
)

// bindProvider gives add and update their flags.
func bindProvider(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArray("set", nil, "field=value of the type; may be repeated")
	f.StringArray("secret-file", nil, "field=file that holds a secret, - for standard input; may be repeated")
	f.String("name", "", "name for people")
	f.Int("priority", 0, "place in the chain, lower first")
	f.Int("rate-per-second", 0, "messages per second at most; 0 = no limit")
	f.Int("rate-per-day", 0, "messages per day (UTC) at most; 0 = no limit")
	f.Int("max-concurrency", 0, "calls at a time at most; 0 = no limit")
	f.Bool("pinned", false, "use this configuration before all others")
	f.Bool("active", true, "take part in the chain")
	f.SortFlags = false
}

func addProviderCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "add TYPE", Short: "Add a provider configuration", Args: cobra.ExactArgs(1), ValidArgs: typeNames(),
		Long: `Adds a provider configuration. 'commserver provider types TYPE' lists its fields. A secret is never given as a value: --secret-file
reads it from a file or standard input, and on a terminal a secret that is not given is asked for, hidden.`,
		Example: `  commserver provider add SMTP --name 'Company mail' --set host=mail.example.com --set username=no-reply@example.com --secret-file password=password.txt
  pass show mail | commserver provider add SMTP --set host=mail.example.com --secret-file password=- --priority 1`}
	bindProvider(cmd)
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		kind, err := typeNamed(args[0])
		if err != nil {
			return err
		}
		config, err := r.settings(kind, true)
		if err != nil {
			return err
		}
		body := r.providerChange()
		body["providerType"], body["config"] = kind.Type, config
		path, admin := providers(cmd)
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: path, Body: body, Admin: admin})
		if err != nil {
			return err
		}
		return r.showProvider(raw)
	})
	return cmd
}

func updateProviderCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "update ID", Short: "Change a provider configuration; what is not given stays", Args: cobra.ExactArgs(1), ValidArgsFunction: completeProviders(s),
		Example: `  commserver provider update cmr0123456789abcdefghijkl --secret-file password=new.txt
  commserver provider update cmr0123456789abcdefghijkl --active=false
  commserver provider update cmr0123456789abcdefghijkl --set port=465 --unset returnPath`}
	bindProvider(cmd)
	cmd.Flags().StringArray("unset", nil, "field to remove; may be repeated")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, admin := providers(cmd)
		path += "/" + client.Escape(args[0])
		raw, err := r.get(ctx, path, admin)
		if err != nil {
			return err
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		kind, err := typeNamed(doc.str("providerType"))
		if err != nil {
			return err
		}
		config, err := r.settings(kind, false)
		if err != nil {
			return err
		}
		body := r.providerChange()
		if len(config) > 0 {
			body["config"] = config
		}
		if len(body) == 0 {
			return usagef("nothing to change was given; see `commserver provider update --help`")
		}
		if raw, err = r.call(ctx, client.Request{Method: http.MethodPatch, Path: path, Body: body, Admin: admin, Safe: true}); err != nil {
			return err
		}
		return r.showProvider(raw)
	})
	return cmd
}

func rotateCallbackCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "rotate-callback ID", Short: "Give a provider configuration another callback URL", Args: cobra.ExactArgs(1), ValidArgsFunction: completeProviders(s),
		Long: `Gives a provider configuration another callback URL. Messages that are sent from now on name it; reports to the one before are taken for the
overlap, up to 168h, since messages that have left name that. Where the URL is registered with the provider, enter the new one there.`,
		Example: "  commserver provider rotate-callback cmr0123456789abcdefghijkl --overlap 72h\n  commserver provider rotate-callback cmr0123456789abcdefghijkl --server --yes"})
	cmd.Flags().Duration("overlap", 0, "how long reports to the URL before are taken too")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		overlap, err := cmd.Flags().GetDuration("overlap")
		if err != nil || overlap < 0 || overlap%time.Second != 0 {
			return usagef("--overlap must be whole seconds, such as 72h or 90s")
		}
		if overlap == 0 {
			if err := r.confirm("Replace the callback URL of " + args[0] + "; what is reported to the old one is refused from now on"); err != nil {
				return err
			}
		}
		path, admin := providers(cmd)
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: path + "/" + client.Escape(args[0]) + "/rotate-callback", Body: map[string]int{"overlapSeconds": int(overlap / time.Second)}, Admin: admin})
		if err != nil {
			return err
		}
		return r.showProvider(raw)
	})
	return cmd
}

// providerChange is what the flags say beside the settings.
func (r *remote) providerChange() map[string]any {
	body, f := map[string]any{}, r.cmd.Flags()
	if f.Changed("name") {
		body["name"] = flagText(r.cmd, "name")
	}
	for flag, field := range map[string]string{"pinned": "pinned", "active": "isActive"} {
		if f.Changed(flag) {
			body[field] = flagged(r.cmd, flag)
		}
	}
	for flag, field := range map[string]string{"priority": "priority", "rate-per-second": "ratePerSecond", "rate-per-day": "ratePerDay", "max-concurrency": "maxConcurrency"} {
		if !f.Changed(flag) {
			continue
		}
		if n, err := f.GetInt(flag); err == nil {
			body[field] = n
			if n == 0 && flag != "priority" {
				body[field] = nil
			}
		}
	}
	return body
}

func words(cmd *cobra.Command, flag string) []string {
	all, err := cmd.Flags().GetStringArray(flag)
	if err != nil {
		return nil // this command has no such flag
	}
	return all
}

// settings reads the fields of a type from the flags; a new configuration asks for
// the secrets that were not given.
func (r *remote) settings(kind provider.Adapter, ask bool) (map[string]any, error) {
	config := map[string]any{}
	given, err := pairs("--set", "=", words(r.cmd, "set"))
	if err != nil {
		return nil, err
	}
	for name, text := range given {
		field, err := fieldNamed(kind, name)
		if err != nil {
			return nil, err
		}
		if field.Secret {
			return nil, usagef("%s is a secret, and a command line is visible to every user of this machine; use --secret-file %s=FILE, or - for standard input", name, name)
		}
		config[name] = typed(field, text)
	}
	files, err := pairs("--secret-file", "=", words(r.cmd, "secret-file"))
	if err != nil {
		return nil, err
	}
	for name, path := range files {
		if _, err := fieldNamed(kind, name); err != nil {
			return nil, err
		}
		if config[name], err = r.s.secretFile("--secret-file "+name, path); err != nil {
			return nil, err
		}
	}
	for _, name := range words(r.cmd, "unset") {
		if _, err := fieldNamed(kind, name); err != nil {
			return nil, err
		}
		config[name] = nil
	}
	if ask && r.term.In && r.term.Err {
		return config, r.askSecrets(kind, config)
	}
	return config, nil
}

func (r *remote) askSecrets(kind provider.Adapter, config map[string]any) error {
	for _, f := range kind.Fields {
		if _, given := config[f.Name]; given || !f.Secret {
			continue
		}
		question := f.Label + " (" + f.Name + ", empty for none): "
		if f.Required {
			question = f.Label + " (" + f.Name + "): "
		}
		text, err := r.s.askSecret(question)
		if err != nil {
			return err
		}
		if text != "" {
			config[f.Name] = text
		}
	}
	return nil
}

func fieldNamed(kind provider.Adapter, name string) (provider.Field, error) {
	var names []string
	for _, f := range kind.Fields {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return provider.Field{}, usagef("%s has no field %q; it has %s", kind.Type, name, strings.Join(names, ", "))
}
