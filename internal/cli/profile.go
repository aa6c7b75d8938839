package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
)

const profileHelp = `A profile keeps the address of a server with an app and its key, or with the administrator's key, under a name.
Profiles stand in commserver/profiles.json of your configuration folder, readable by you alone (mode 0600).
Keys are read from a file, from standard input (-) or from a hidden question, never from the command line.`

// profiles is the file.
type profiles struct {
	Current  string              `json:"current"`
	Profiles map[string]identity `json:"profiles"`
}

func profileCommand(s Streams) *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the profiles; the one in use has a star", Args: cobra.NoArgs,
		Example: "  commserver profile list\n  commserver profile list --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return listProfiles(s, cmd) }}
	bindOutput(list)
	use := &cobra.Command{Use: "use NAME", Short: "Use a profile from now on", Args: cobra.ExactArgs(1), ValidArgsFunction: s.completeProfiles,
		Example: "  commserver profile use production",
		RunE: func(_ *cobra.Command, args []string) error {
			return s.changeProfiles(func(p *profiles) error {
				if _, known := p.Profiles[args[0]]; !known {
					return unknownProfile(args[0])
				}
				p.Current = args[0]
				return nil
			})
		}}
	remove := bindYes(&cobra.Command{Use: "remove NAME", Short: "Forget a profile and its keys", Args: cobra.ExactArgs(1), ValidArgsFunction: s.completeProfiles,
		Example: "  commserver profile remove staging --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.changeProfiles(func(p *profiles) error {
				if _, known := p.Profiles[args[0]]; !known {
					return unknownProfile(args[0])
				}
				if !flagged(cmd, "yes") {
					if err := s.confirm("Forget the profile " + args[0] + " and its keys"); err != nil {
						return err
					}
				}
				delete(p.Profiles, args[0])
				if p.Current == args[0] {
					p.Current = ""
				}
				return nil
			})
		}})
	return group("profile", "Keep servers and keys under names", profileHelp,
		"  commserver profile add local --url http://localhost:3008 --app demo --api-key-file key.txt\n  commserver profile use local",
		addProfileCommand(s), list, use, remove)
}

func unknownProfile(name string) error {
	return usagef("there is no profile %q; see `commserver profile list`", name)
}

func addProfileCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "add NAME", Short: "Add or replace a profile",
		Long: `Adds a profile, or replaces the one of this name. Without --api-key-file and --admin-key-file the app's API key is asked for,
hidden, on a terminal. The first profile is used from then on.`,
		Example: `  commserver profile add demo --app demo
  commserver profile add production --url https://comms.example.com --app flowbase --api-key-file key.txt
  pass show comms/admin | commserver profile add operator --url https://comms.example.com --admin-key-file -`,
		Args: cobra.ExactArgs(1)}
	f := cmd.Flags()
	f.String("url", defaultURL, "address of the server")
	f.String("app", "", "id or slug of the app")
	f.String("api-key-file", "", "file that holds the app's API key, - for standard input")
	f.String("admin-key-file", "", "file that holds the administrator's key, - for standard input")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := newProfile(s, cmd, args[0])
		if err != nil {
			return err
		}
		current := ""
		if err := s.changeProfiles(func(p *profiles) error {
			p.Profiles[args[0]] = id
			if p.Current == "" {
				p.Current = args[0]
			}
			current = p.Current
			return nil
		}); err != nil {
			return err
		}
		if current == args[0] {
			fmt.Fprintf(s.Err, "The profile %s is kept and in use.\n", args[0])
		} else {
			fmt.Fprintf(s.Err, "The profile %s is kept; in use is %s. Change that with `commserver profile use %s`, or give --profile %s.\n", args[0], current, args[0], args[0])
		}
		return nil
	}
	return cmd
}

// profileName keeps names usable in shells and completion.
var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func newProfile(s Streams, cmd *cobra.Command, name string) (id identity, err error) {
	id = identity{URL: flagText(cmd, "url"), App: flagText(cmd, "app")}
	if !profileName.MatchString(name) {
		return id, usagef("a profile's name is 1 to 64 letters, digits, dots, dashes and underscores")
	}
	if u, err := url.Parse(id.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return id, usagef("--url must look like http://localhost:3008")
	}
	apiFile, adminFile := flagText(cmd, "api-key-file"), flagText(cmd, "admin-key-file")
	if apiFile == "-" && adminFile == "-" {
		return id, usagef("only one key can come from standard input")
	}
	if apiFile != "" {
		if id.APIKey, err = s.secretFile("--api-key-file", apiFile); err != nil {
			return id, err
		}
	}
	if adminFile != "" {
		if id.AdminKey, err = s.secretFile("--admin-key-file", adminFile); err != nil {
			return id, err
		}
	}
	if apiFile == "" && adminFile == "" {
		if t := s.terminal(); !t.In || !t.Err {
			return id, usagef("give --api-key-file or --admin-key-file; - reads standard input")
		}
		if id.APIKey, err = s.askSecret("API key: "); err != nil {
			return id, err
		}
		if id.APIKey == "" {
			return id, usagef("no key was given")
		}
	}
	if id.APIKey != "" && id.App == "" {
		return id, usagef("--app is needed beside an API key: the id or slug of the app")
	}
	return id, nil
}

func listProfiles(s Streams, cmd *cobra.Command) error {
	p, err := s.readProfiles()
	if err != nil {
		return err
	}
	out, err := newPrinter(s, cmd, s.terminal())
	if err != nil {
		return err
	}
	rows := out.rows("name", []column{{"NAME", "name", plain}, {"USED", "mark", plain}, {"URL", "url", plain}, {"APP", "app", plain}, {"KEYS", "keys", plain}})
	for _, name := range p.names() {
		id := p.Profiles[name]
		row := map[string]any{"name": name, "current": name == p.Current, "url": id.URL, "app": id.App, "keys": id.keys()}
		if !out.json {
			row["mark"] = map[bool]string{true: "*"}[name == p.Current]
		}
		raw, err := json.Marshal(row)
		if err != nil {
			return fmt.Errorf("write the profile: %w", err)
		}
		if err := rows.add(raw); err != nil {
			return err
		}
	}
	return rows.end()
}

// keys says which keys there are, not what they are.
func (id identity) keys() []string {
	keys := []string{}
	if id.APIKey != "" {
		keys = append(keys, "app")
	}
	if id.AdminKey != "" {
		keys = append(keys, "admin")
	}
	return keys
}

func (p *profiles) names() []string {
	names := make([]string, 0, len(p.Profiles))
	for name := range p.Profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// profilePath is where the file lies: the user's configuration folder as the system has it.
func (s Streams) profilePath() (string, error) {
	dir := s.env("XDG_CONFIG_HOME")
	switch home := s.env("HOME"); {
	case runtime.GOOS == "windows":
		dir = s.env("AppData")
	case dir != "" && filepath.IsAbs(dir):
	case home == "":
		dir = ""
	case runtime.GOOS == "darwin":
		dir = filepath.Join(home, "Library", "Application Support")
	default:
		dir = filepath.Join(home, ".config")
	}
	if dir == "" {
		return "", usagef("no folder for profiles is known: set HOME or XDG_CONFIG_HOME")
	}
	return filepath.Join(dir, "commserver", "profiles.json"), nil
}

// Permissions of the file and its folder: it holds keys.
const (
	profileMode   = 0o600
	profileFolder = 0o700
	othersMask    = 0o077
)

func (s Streams) readProfiles() (profiles, error) {
	p := profiles{Profiles: map[string]identity{}}
	path, err := s.profilePath()
	if err != nil {
		return p, err
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return p, usagef("read the profiles: %w", err)
	}
	if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&othersMask != 0 {
		return p, usagef("%s holds keys and can be read by others; run: chmod 600 %s", path, path)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, usagef("%s cannot be read: %w; repair or remove it", path, err)
	}
	if p.Profiles == nil {
		p.Profiles = map[string]identity{}
	}
	return p, nil
}

// profile is a named profile, or the one in use for "", which may be none.
func (s Streams) profile(name string) (identity, error) {
	if name == "" {
		if _, err := s.profilePath(); err != nil {
			return identity{}, nil // a service without a home has no profiles
		}
	}
	p, err := s.readProfiles()
	if err != nil {
		return identity{}, err
	}
	if name == "" {
		return p.Profiles[p.Current], nil
	}
	id, known := p.Profiles[name]
	if !known {
		return id, unknownProfile(name)
	}
	return id, nil
}

// changeProfiles replaces the file as a whole, so that an interruption leaves the old one.
func (s Streams) changeProfiles(change func(*profiles) error) error {
	p, err := s.readProfiles()
	if err != nil {
		return err
	}
	if err := change(&p); err != nil {
		return err
	}
	path, err := s.profilePath()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("write the profiles: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), profileFolder); err != nil {
		return fmt.Errorf("write the profiles: %w", err)
	}
	return writeSecret(path, append(b, '\n'))
}

// writeSecret replaces a file by one that its owner alone can read.
func writeSecret(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".commserver-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(profileMode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what could not be finished is of no use
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
