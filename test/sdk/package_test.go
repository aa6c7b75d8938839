package sdk

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const packageDir = "../../sdk"

// run runs a program in a folder and answers what it said.
func run(dir string, env []string, name string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(context.Background(), name, arguments...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// notCompiled begins what unbuilt is told when the client is wrong, not the machine.
const notCompiled = "the TypeScript client does not compile: "

// built compiles the package once, with the command of its script, and says why that is not possible.
var built = sync.OnceValue(func() string {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed; run: make setup"
		}
	}
	if _, err := os.Stat(filepath.Join(packageDir, "node_modules", "typescript")); err != nil {
		return "the package's compiler is not installed; run: make setup"
	}
	if out, err := run(packageDir, nil, "node", "node_modules/typescript/bin/tsc", "-p", "tsconfig.json"); err != nil {
		return notCompiled + out
	}
	return ""
})

// unbuilt says why the TypeScript client cannot be run here, "" if it can.
func unbuilt(t *testing.T) string {
	t.Helper()
	why := built()
	if strings.HasPrefix(why, notCompiled) {
		t.Fatal(why)
	}
	return why
}

// tsc compiles in a folder with the package's compiler.
func tsc(t *testing.T, dir string, arguments ...string) {
	t.Helper()
	if why := unbuilt(t); why != "" {
		t.Skip(why)
	}
	program := absolute(t, filepath.Join(packageDir, "node_modules", "typescript", "bin", "tsc"))
	if out, err := run(dir, nil, "node", append([]string{program}, arguments...)...); err != nil {
		t.Errorf("tsc %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// put copies a file into a folder.
func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestTheFileAloneCompiles: whoever copies the file into an empty project needs nothing else, whatever strictness theirs has.
func TestTheFileAloneCompiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "comms-client.ts", read(t, packageDir+"/comms-client.ts"))
	tsc(t, dir, "--strict", "--noEmit", "comms-client.ts")
	if os.Getenv("COMMS_TEST_FULL") == "" {
		return
	}
	for _, options := range []string{"--target es2022 --lib es2022,dom --module esnext --moduleResolution bundler", "--target es2024 --lib es2024,webworker --module esnext",
		"--target esnext --exactOptionalPropertyTypes --noUncheckedIndexedAccess --noPropertyAccessFromIndexSignature --noUnusedLocals --noUnusedParameters --noImplicitOverride --noImplicitReturns --erasableSyntaxOnly --isolatedModules --verbatimModuleSyntax --declaration --isolatedDeclarations --module esnext"} {
		tsc(t, dir, append(strings.Fields("--strict --noEmit "+options), "comms-client.ts")...)
	}
}

// TestTheFileNeedsNothing: an import or a name of Node would keep it from other runtimes.
func TestTheFileNeedsNothing(t *testing.T) {
	t.Parallel()
	for n, line := range strings.Split(read(t, packageDir+"/comms-client.ts"), "\n") {
		if code, _, _ := strings.Cut(line, "//"); regexp.MustCompile(`^\s*import\b|\bimport\(|\brequire\(|\bprocess\.|\bBuffer\b|["']node:`).MatchString(code) {
			t.Errorf("line %d: %s", n+1, line)
		}
	}
}

// TestWhatThePackageHolds: the compiled client with its types, the source, and nothing of the development.
func TestWhatThePackageHolds(t *testing.T) {
	t.Parallel()
	if why := unbuilt(t); why != "" {
		t.Skip(why)
	}
	cmd := exec.CommandContext(t.Context(), "npm", "pack", "--dry-run", "--json", "--ignore-scripts")
	cmd.Dir = packageDir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("npm pack: %v\n%s", err, out)
	}
	type packed struct{ Files []struct{ Path string } }
	var some []packed
	if err := json.Unmarshal(out, &some); err != nil { // newer versions of npm answer by name
		var named map[string]packed
		if err := json.Unmarshal(out, &named); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, p := range named {
			some = append(some, p)
		}
	}
	var got []string
	for _, f := range some[0].Files {
		got = append(got, f.Path)
	}
	slices.Sort(got)
	want := []string{"LICENSE", "README.md", "comms-client.ts", "dist/comms-client.d.ts", "dist/comms-client.js", "dist/comms-client.js.map", "package.json"}
	if !slices.Equal(got, want) {
		t.Errorf("the package holds %v, not %v", got, want)
	}
	var about struct {
		License      string
		Dependencies map[string]string
		Scripts      map[string]string
	}
	if err := json.Unmarshal([]byte(read(t, packageDir+"/package.json")), &about); err != nil || len(about.Dependencies) > 0 || about.License != "Apache-2.0" || about.Scripts["build"] != "tsc -p tsconfig.json" {
		t.Errorf("package.json: %+v %v", about, err)
	}
	if read(t, packageDir+"/LICENSE") != read(t, "../../LICENSE") {
		t.Error("the package's licence is another one")
	}
}

// What the guide's snippets of the SDK take for granted.
const (
	ambient = `declare const process: { env: Record<string, string | undefined> };
declare const user: { email: string };
declare const request: { id: string };
declare const comms: import("@/lib/comms-client").CommsClient;
`
	settings = `{"compilerOptions": {"strict": true, "target": "es2022", "lib": ["es2022", "dom"], "module": "esnext", "moduleResolution": "bundler", "moduleDetection": "force",
  "types": [], "paths": {"@/*": ["./*"]}, "outDir": "out", "rootDir": "."}, "include": ["*.ts", "lib/*.ts"]}`
	alias  = `{"name": "@/lib", "type": "module", "exports": {"./comms-client": "./comms-client.js"}}`
	runner = `const made = (await import("./out/provision.js")).result;
process.env.COMMS_APP_ID = made.app.slug;
process.env.COMMS_API_KEY = made.apiKey;
globalThis.comms = (await import("./out/client.js")).comms;
globalThis.user = { email: "ama@example.com" };
globalThis.request = { id: "request-42" };
const sent = (await import("./out/send.js")).result;
console.log(JSON.stringify({ made, sent, stored: await comms.getMessage(sent.id) }));
`
)

// TestTheGuidesSnippets compiles the guide's snippets of the SDK as they are written there, and runs them against the server.
func TestTheGuidesSnippets(t *testing.T) {
	t.Parallel()
	if why := unbuilt(t); why != "" {
		t.Skip(why)
	}
	dir := t.TempDir()
	put(t, dir, "lib/comms-client.ts", read(t, packageDir+"/comms-client.ts"))
	put(t, dir, "ambient.d.ts", ambient)
	put(t, dir, "tsconfig.json", settings)
	put(t, dir, "package.json", `{"type": "module"}`)
	for _, name := range []string{"provision", "client", "send"} {
		text := read(t, "guide/"+name+".ts")
		if name != "client" {
			text += "export { result };\n" // for the test to see; the snippet is above, untouched
		}
		put(t, dir, name+".ts", text)
	}
	tsc(t, dir, "-p", "tsconfig.json")
	// What a bundler makes of the alias.
	put(t, dir, "node_modules/@/lib/package.json", alias)
	put(t, dir, "node_modules/@/lib/comms-client.js", read(t, filepath.Join(dir, "out", "lib", "comms-client.js")))
	put(t, dir, "run.mjs", runner)
	s := running(t)
	out, err := run(dir, []string{"COMMS_URL=" + s.url, "COMMS_PROVISIONING_KEY=" + provisioningKey}, "node", "run.mjs")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var want any
	if err := json.Unmarshal([]byte(`{"made": {"app": {"slug": "flowbase", "sandboxMode": true}, "apiKey": {"$match": "^cs_test_"}, "alreadyRegistered": false},
"sent": {"id": {"$same": "id"}, "status": "QUEUED", "idempotencyKey": "request-42-approved-email"},
"stored": {"id": {"$same": "id"}, "toAddress": "ama@example.com", "subject": "Request approved", "metadata": {"requestId": "request-42"}}}`), &want); err != nil {
		t.Fatal(err)
	}
	if wrong := (names{}).match(want, got, "it"); wrong != "" {
		t.Error(wrong)
	}
}
