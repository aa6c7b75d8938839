package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

const (
	usersPath = "/api/admin/users"
	userHelp  = `Makes, lists, changes and deletes the users of the console. Roles: VIEWER reads; OPERATOR also acts on messages, the queue, suppressions,
provider configurations, templates and webhooks of every app; ADMIN does everything. A password that is set here is one to begin with: its user chooses
their own at the first sign-in, within seven days. It is asked for, hidden, or read from a file, and is never on the command line.`
)

func userCommand(s Streams) *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the users, oldest first", Args: cobra.NoArgs, Example: "  commserver user list"}
	list.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		return r.print(ctx, client.Request{Path: usersPath, Admin: true}, 0, "id", []column{{"ID", "id", plain}, {"NAME", "name", plain}, {"ROLE", "role", plain}, {"ACTIVE", "isActive", yes},
			{"SECOND FACTOR", "secondFactor", yes}, {"SIGNED IN", "signedInAt", when}})
	})
	remove := bindYes(&cobra.Command{Use: "delete USER", Short: "Delete a user, named by name or id; their sessions end", Args: cobra.ExactArgs(1), ValidArgsFunction: completes(s, usersPath, true, "name", "role"),
		Example: "  commserver user delete ama --yes"})
	remove.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, err := r.userAt(ctx, args[0])
		if err != nil {
			return err
		}
		return r.remove(ctx, client.Request{Path: path, Admin: true}, "Delete the user "+args[0])
	})
	cmd := group("user", "Users of the console and their roles, as the administrator", userHelp+"\n\n"+connectionHelp,
		"  commserver user create ama --role OPERATOR\n  commserver user list", list, createUserCommand(s), updateUserCommand(s), remove)
	bindClient(cmd)
	return cmd
}

func userColumns() []column {
	return []column{{"ID", "id", plain}, {"Name", "name", plain}, {"Role", "role", plain}, {"Active", "isActive", yes}, {"Second factor", "secondFactor", yes},
		{"Password to begin with ends", "startPasswordUntil", when}, {"Created", "createdAt", when}, {"Signed in", "signedInAt", when}}
}

// userAt is the path of a user, who is named by name or id.
func (r *remote) userAt(ctx context.Context, word string) (path string, err error) {
	err = r.list(ctx, client.Request{Path: usersPath, Admin: true}, 0, func(raw json.RawMessage) error {
		var u struct{ ID, Name string }
		if err := json.Unmarshal(raw, &u); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if u.ID == word || u.Name == word {
			path = usersPath + "/" + client.Escape(u.ID)
		}
		return nil
	})
	if err == nil && path == "" {
		err = codedError{fmt.Errorf("there is no user %q; see `commserver user list`", word), exitMissing}
	}
	return path, err
}

// startPassword is the password to begin with: from a file, or asked for twice.
func (r *remote) startPassword() (string, error) {
	if path := flagText(r.cmd, "password-file"); path != "" {
		return r.s.secretFile("--password-file", path)
	}
	if t := r.s.terminal(); !t.In || !t.Err {
		return "", usagef("nobody can be asked for a password here; give --password-file, - for standard input")
	}
	first, err := r.s.askSecret("Password to begin with: ")
	if err != nil {
		return "", err
	}
	again, err := r.s.askSecret("Once more: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", usagef("the two are not the same; nothing was changed")
	}
	return first, nil
}

func createUserCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a user, with a password to begin with", Args: cobra.ExactArgs(1),
		Example: "  commserver user create ama --role OPERATOR\n  pwgen -s 20 1 | commserver user create kofi --role VIEWER --password-file -"}
	cmd.Flags().String("role", "VIEWER", "VIEWER, OPERATOR or ADMIN")
	cmd.Flags().String("password-file", "", "file that holds the password, - for standard input")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		password, err := r.startPassword()
		if err != nil {
			return err
		}
		body := map[string]any{"name": args[0], "role": strings.ToUpper(flagText(cmd, "role")), "password": password}
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: usersPath, Body: body, Admin: true})
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", userColumns())
	})
	return cmd
}

func updateUserCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "update USER", Short: "Change a user, named by name or id; what is not given stays", Args: cobra.ExactArgs(1), ValidArgsFunction: completes(s, usersPath, true, "name", "role"),
		Example: "  commserver user update ama --role ADMIN\n  commserver user update ama --active=false\n  commserver user update ama --reset"}
	f := cmd.Flags()
	f.String("name", "", "another name")
	f.String("role", "", "VIEWER, OPERATOR or ADMIN")
	f.Bool("active", true, "false: the user cannot sign in, and their sessions end")
	f.Bool("reset", false, "ask for another password to begin with; the user's sessions end")
	f.String("password-file", "", "file that holds another password to begin with, - for standard input")
	f.Bool("drop-second-factor", false, "for whoever lost theirs; the user's sessions end")
	f.SortFlags = false
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		body := map[string]any{}
		if f.Changed("name") {
			body["name"] = flagText(cmd, "name")
		}
		if f.Changed("role") {
			body["role"] = strings.ToUpper(flagText(cmd, "role"))
		}
		if f.Changed("active") {
			body["isActive"] = flagged(cmd, "active")
		}
		if flagged(cmd, "drop-second-factor") {
			body["secondFactor"] = false
		}
		wants := flagged(cmd, "reset") || flagText(cmd, "password-file") != ""
		if len(body) == 0 && !wants {
			return usagef("nothing to change was given; see `commserver user update --help`")
		}
		path, err := r.userAt(ctx, args[0])
		if err != nil {
			return err
		}
		if wants {
			if body["password"], err = r.startPassword(); err != nil {
				return err
			}
		}
		raw, err := r.call(ctx, client.Request{Method: http.MethodPatch, Path: path, Body: body, Admin: true})
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", userColumns())
	})
	return cmd
}
