package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/seal"
)

// maxFile bounds what is read from a file that holds a value.
const maxFile = 64 << 10

// Source is where Load takes values from. The zero value gives the defaults.
type Source struct {
	// Env holds NAME=value pairs, as os.Environ gives them.
	Env []string
	// Flags holds the flags that were really given, by name without dashes.
	Flags map[string]string
}

// Setting is one option as it is in force.
type Setting struct {
	// Name is the environment variable.
	Name string
	// Value is in text form; secrets and passwords are masked.
	Value string
	// From says where the value came from: "default", the variable, the flag or the file.
	From string
}

// Problem is one reason why a configuration is refused.
type Problem struct {
	// Name is the variable at fault.
	Name string
	// Text says what is wrong and how to mend it. It never holds a secret.
	Text string
}

// Error is the problem in one line.
func (p Problem) Error() string { return p.Name + ": " + p.Text }

// Problems is every reason why a configuration is refused; it is the error of Load.
type Problems []Problem

// Error is one line per problem.
func (p Problems) Error() string {
	var b strings.Builder
	b.WriteString("the configuration is not usable:")
	for _, one := range p {
		b.WriteString("\n  " + one.Error())
	}
	return b.String()
}

// Load reads every option from the source, in the order flag, variable, default,
// and checks the rules between them. An empty variable counts as not set. The error
// is Problems and holds everything that is wrong, not only the first thing.
func Load(src Source) (Config, error) {
	l := loader{env: make(map[string]string), flags: src.Flags}
	for _, pair := range src.Env {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, Prefix) {
			l.env[name] = value
		}
	}
	options := Options()
	l.refuseUnknown(options)
	for _, o := range options {
		l.apply(o)
	}
	if l.cfg.Database.Kind == SQLite && l.cfg.Database.Path == "" {
		l.cfg.Database.Path = filepath.Join(l.cfg.DataDir, "commserver.db")
	}
	// A rule between options says nothing useful about values that were not read.
	if len(l.problems) == 0 {
		l.problems = rules(l.cfg)
	}
	if len(l.problems) > 0 {
		return Config{}, l.problems
	}
	return l.cfg, nil
}

// Settings lists what is in force, in the order of Options, with secrets masked.
func (c Config) Settings() []Setting { return slices.Clone(c.settings) }

type loader struct {
	env      map[string]string
	flags    map[string]string
	cfg      Config
	problems Problems
}

func (l *loader) refuse(name, format string, args ...any) {
	l.problems = append(l.problems, Problem{name, fmt.Sprintf(format, args...)})
}

// apply finds the value of one option, sets it and records the setting.
func (l *loader) apply(o Option) {
	value, from, err := l.find(o)
	if err != nil {
		l.refuse(o.Env(), "%v", err)
		return
	}
	if value != "" {
		if err := o.set(&l.cfg, value); err != nil {
			if from != o.Env() {
				err = fmt.Errorf("%w (from %s)", err, from)
			}
			l.refuse(o.Env(), "%v", err)
			return
		}
	}
	shown := value
	switch {
	case o.Secret:
		shown = seal.Secret(value).String()
	case o.url:
		shown = maskURL(value)
	}
	l.cfg.settings = append(l.cfg.settings, Setting{Name: o.Env(), Value: shown, From: from})
}

// find returns the text of an option and where it came from.
func (l *loader) find(o Option) (value, from string, err error) {
	value, given := l.flags[o.Flag()]
	file, fileGiven := l.flags[o.FileFlag()]
	given, fileGiven = given && o.Flag() != "", fileGiven && o.FileFlag() != ""
	switch {
	case given && fileGiven:
		return "", "", fmt.Errorf("--%s and --%s are both given; keep one of them", o.Flag(), o.FileFlag())
	case given && o.url && hasPassword(value):
		return "", "", fmt.Errorf("--%s holds a password, which every user of this machine can see; use %s, %s or --%s", o.Flag(), o.Env(), o.EnvFile(), o.FileFlag())
	case given && value == "":
		return o.Default, "default", nil
	case given:
		return value, "--" + o.Flag(), nil
	case fileGiven:
		value, err = readValue(file)
		return value, "file " + file, err
	}
	value, file = l.env[o.Env()], l.env[o.EnvFile()]
	switch {
	case value != "" && file != "":
		return "", "", fmt.Errorf("%s is set as well; keep one of them", o.EnvFile())
	case value != "":
		return value, o.Env(), nil
	case file != "":
		value, err = readValue(file)
		return value, "file " + file, err
	}
	return o.Default, "default", nil
}

// readValue reads a value from a file. Line breaks at its end are not part of it,
// because editors and `echo` add one.
func readValue(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the file with its value cannot be opened: %w", err)
	}
	defer func() { _ = f.Close() }() // nothing was written, so nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("the file with its value cannot be read: %w", err)
	}
	if len(data) > maxFile {
		return "", fmt.Errorf("the file %s is larger than %d KiB; it must hold the value alone", path, maxFile>>10)
	}
	value := strings.TrimRight(string(data), "\r\n")
	if value == "" {
		return "", fmt.Errorf("the file %s is empty; write the value into it", path)
	}
	return value, nil
}

// clientVariables belong to programs that call CommServer. They may stand in the
// same environment, so they are no mistake.
func clientVariables() []string {
	return []string{"COMMS_URL", "COMMS_APP_ID", "COMMS_API_KEY", "COMMS_API_KEY_FILE", "COMMS_PROFILE", "COMMS_WEBHOOK_SECRET"}
}

// refuseUnknown reports variables and flags that no option knows, with the nearest
// name: a mistyped option must not be silently without effect.
func (l *loader) refuseUnknown(options []Option) {
	var envs, flags []string
	for _, o := range options {
		envs = append(envs, o.Env(), o.EnvFile())
		flags = append(flags, o.Flag(), o.FileFlag())
	}
	// Kubernetes puts addresses of services into every container: a service named
	// "comms" makes COMMS_SERVICE_HOST, COMMS_PORT and COMMS_PORT_3008_TCP_ADDR.
	serviceLink := regexp.MustCompile(`(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	for _, name := range sortedKeys(l.env) {
		switch {
		case slices.Contains(envs, name), slices.Contains(clientVariables(), name):
		case strings.HasPrefix(name, Prefix+"TEST_"), serviceLink.MatchString(name):
		case strings.HasSuffix(name, "_PORT") && strings.Contains(l.env[name], "://"):
		default:
			l.refuse(name, "there is no such option; %s", suggest(name, envs))
		}
	}
	for _, name := range sortedKeys(l.flags) {
		if name == "" || !slices.Contains(flags, name) {
			l.refuse("--"+name, "there is no such option; `commserver config` lists them")
		}
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for name := range m {
		keys = append(keys, name)
	}
	slices.Sort(keys)
	return keys
}

// suggest names the known variable that is closest to a mistyped one.
func suggest(name string, known []string) string {
	best, bestDistance := "", 1+len(name)/4
	for _, candidate := range known {
		if d := distance(name, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	if best == "" {
		return "unset it; `commserver config` lists the options"
	}
	return "did you mean " + best + "?"
}

// distance is the number of single-character edits between two names (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
