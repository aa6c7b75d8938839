package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

const templatePath = "/api/v1/templates"

func templateCommand(s Streams) *cobra.Command {
	cmd := group("template", "Templates and their versions", "Keeps the templates of an app. Content is never changed: each change makes the next version. KEY is a template's key; its id does as well.\n\n"+connectionHelp,
		"  commserver template create request-approved --channel SMS --body 'Hi {{firstName}}, request {{reference}} was approved.'\n  commserver template preview request-approved --var firstName=Ama --var reference=REQ-0042",
		listTemplatesCommand(s), getTemplateCommand(s), createTemplateCommand(s), updateTemplateCommand(s), versionsCommand(s), rollbackCommand(s), previewTemplateCommand(s), deleteTemplateCommand(s))
	bindClient(cmd)
	return cmd
}

func completeTemplates(s Streams) cobra.CompletionFunc {
	return completes(s, templatePath, false, "key", "name")
}

// templateAt is where a template lies, by its id or its key.
func (r *remote) templateAt(ctx context.Context, word string) (string, error) {
	id := word
	if _, err := comm.ParseID(word); err != nil {
		id = ""
		err := r.list(ctx, client.Request{Path: templatePath, Query: url.Values{"key": {word}}}, 1, func(raw json.RawMessage) error {
			doc, err := read(raw)
			id = doc.str("id")
			return err
		})
		// A word that cannot be a key is refused as one; it is no template either.
		if refused, ok := errors.AsType[*client.Error](err); err != nil && (!ok || refused.Code != "invalid_query") {
			return "", err
		}
		if id == "" {
			return "", codedError{fmt.Errorf("there is no template %q; `commserver template list` shows those of the app", word), exitMissing}
		}
	}
	return templatePath + "/" + client.Escape(id), nil
}

func templateColumns() []column {
	return []column{{"ID", "id", plain}, {"Key", "key", plain}, {"Channel", "channel", plain}, {"Name", "name", plain}, {"Version", "version", plain}, {"Variables", "variables", plain},
		{"Created", "createdAt", when}, {"Updated", "updatedAt", when}, {"Subject", "subject", plain}, {"Text", "text", plain}, {"Body", "body", plain}}
}

func listTemplatesCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List templates, newest first", Args: cobra.NoArgs, Example: "  commserver template list\n  commserver template list --key request-approved --quiet"}
	filters := bindFilters(cmd, "channel", "key")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		query, limit, err := filters.read(r)
		if err != nil {
			return err
		}
		return r.print(ctx, client.Request{Path: templatePath, Query: query}, limit, "id", []column{
			{"ID", "id", plain}, {"KEY", "key", plain}, {"CHANNEL", "channel", plain}, {"NAME", "name", plain}, {"VERSION", "version", plain}, {"UPDATED", "updatedAt", when}})
	})
	return cmd
}

func getTemplateCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "get KEY", Short: "Show a template", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTemplates(s), Example: "  commserver template get request-approved --json | jq -r .body"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, err := r.templateAt(ctx, args[0])
		if err != nil {
			return err
		}
		raw, err := r.get(ctx, path, false)
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", templateColumns())
	})
	return cmd
}

func bindTemplate(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("name", "", "name for people")
	f.String("subject", "", "subject of an email")
	f.String("body", "", "HTML of an email, text of an SMS")
	f.String("body-file", "", "file that holds the body, - for standard input")
	f.String("text-file", "", "file that holds the plain text of an email")
	f.SortFlags = false
	cmd.MarkFlagsMutuallyExclusive("body", "body-file")
}

// templateContent is what the flags say of a template.
func templateContent(r *remote) (map[string]any, error) {
	body := map[string]any{}
	for _, name := range []string{"name", "subject", "body"} {
		if r.cmd.Flags().Changed(name) {
			body[name] = flagText(r.cmd, name)
		}
	}
	for flag, field := range map[string]string{"body-file": "body", "text-file": "text"} {
		path := flagText(r.cmd, flag)
		if path == "" {
			continue
		}
		content, err := r.s.file(path)
		if err != nil {
			return nil, usagef("--%s: %w", flag, err)
		}
		body[field] = string(content)
	}
	return body, nil
}

func createTemplateCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "create KEY", Short: "Register a template", Args: cobra.ExactArgs(1),
		Example: "  commserver template create welcome --channel EMAIL --subject 'Welcome, {{firstName}}' --body-file welcome.html --text-file welcome.txt"}
	cmd.Flags().String("channel", "", "EMAIL or SMS")
	bindTemplate(cmd)
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		body, err := templateContent(r)
		if err != nil {
			return err
		}
		if body["body"] == nil || flagText(cmd, "channel") == "" {
			return usagef("--channel and --body or --body-file are needed")
		}
		body["key"], body["channel"] = args[0], flagText(cmd, "channel")
		return r.template(ctx, client.Request{Method: http.MethodPost, Path: templatePath, Body: body})
	})
	return cmd
}

// template makes a call that answers a template, and prints it.
func (r *remote) template(ctx context.Context, q client.Request) error {
	raw, err := r.call(ctx, q)
	if err != nil {
		return err
	}
	return r.out.one(raw, "id", templateColumns())
}

func updateTemplateCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "update KEY", Short: "Change a template; new content is the next version", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTemplates(s),
		Example: "  commserver template update request-approved --body-file welcome.html"}
	bindTemplate(cmd)
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		body, err := templateContent(r)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return usagef("nothing to change was given; see `commserver template update --help`")
		}
		path, err := r.templateAt(ctx, args[0])
		if err != nil {
			return err
		}
		return r.template(ctx, client.Request{Method: http.MethodPatch, Path: path, Body: body, Safe: true})
	})
	return cmd
}

func versionsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "versions KEY", Short: "List the versions of a template, newest first", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTemplates(s),
		Example: "  commserver template versions request-approved"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, err := r.templateAt(ctx, args[0])
		if err != nil {
			return err
		}
		return r.print(ctx, client.Request{Path: path + "/versions"}, 0, "version", []column{
			{"VERSION", "version", plain}, {"CREATED", "createdAt", when}, {"SUBJECT", "subject", plain}})
	})
	return cmd
}

func rollbackCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "rollback KEY", Short: "Make an older version the newest again", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTemplates(s),
		Example: "  commserver template rollback request-approved --version 3"}
	cmd.Flags().Int("version", 0, "version whose content is wanted")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		version, err := cmd.Flags().GetInt("version")
		if err != nil || version < 1 {
			return usagef("--version is needed: the number of the version whose content is wanted")
		}
		path, err := r.templateAt(ctx, args[0])
		if err != nil {
			return err
		}
		return r.template(ctx, client.Request{Method: http.MethodPost, Path: path + "/rollback", Body: map[string]int{"version": version}})
	})
	return cmd
}

func previewTemplateCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "preview KEY", Short: "Show what values make of a template; sends nothing", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTemplates(s),
		Example: "  commserver template preview request-approved --var firstName=Ama --var reference=REQ-0042"}
	cmd.Flags().StringArray("var", nil, "name=value of a placeholder; may be repeated")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		variables, err := pairs("--var", "=", words(cmd, "var"))
		if err != nil {
			return err
		}
		path, err := r.templateAt(ctx, args[0])
		if err != nil {
			return err
		}
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: path + "/preview", Body: map[string]any{"variables": variables}, Safe: true})
		if err != nil {
			return err
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		r.warn(doc)
		return r.out.one(raw, "version", []column{{"Version", "version", plain}, {"Subject", "subject", plain}, {"Segments", "segments", plain}, {"Encoding", "encoding", plain},
			{"Text", "text", plain}, {"Body", "body", plain}})
	})
	return cmd
}

func deleteTemplateCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "delete KEY", Short: "Delete a template with its versions", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTemplates(s),
		Example: "  commserver template delete request-approved --yes"})
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, err := r.templateAt(ctx, args[0])
		if err != nil {
			return err
		}
		return r.remove(ctx, client.Request{Path: path}, "Delete the template "+args[0]+" with its versions")
	})
	return cmd
}
