// Command pgrelay brings live rows from Postgres to React over WebSockets.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"pgrelay/relay"
)

// root is the command line.
type root struct {
	Config  kong.ConfigFlag  `help:"YAML file with the same keys as the flags." placeholder:"FILE"`
	Version kong.VersionFlag `help:"Print the version."`
	logFlags

	Demo   demoCmd   `cmd:"" help:"Run private Postgres servers with sample data, the relay, and the page."`
	Serve  serveCmd  `cmd:"" help:"Run the relay for a warehouse."`
	Tail   tailCmd   `cmd:"" help:"Print a table's live changes."`
	Attach attachCmd `cmd:"" help:"Print, or do, what the databases behind a warehouse need for the relay."`
	Detach detachCmd `cmd:"" help:"Print, or do, what takes everything back that attach and the relay made."`
	Rules  rulesCmd  `cmd:"" help:"Check the stored rules, and explain what somebody sees by them."`
	Doctor doctorCmd `cmd:"" help:"Say what is wrong or risky, each with its remedy."`
	Bench  benchCmd  `cmd:"" help:"Measure the relay beside the limit that this machine sets, on a private Postgres server."`
	Token  tokenCmd  `cmd:"" help:"Mint a token for development."`
}

type logFlags struct {
	LogLevel  string `default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: ${enum}."`
	LogFormat string `default:"auto" enum:"auto,json,text" help:"Form of the log: ${enum}; auto is text on a terminal."`
}

func (f logFlags) logger() zerolog.Logger {
	level, err := zerolog.ParseLevel(f.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	var out io.Writer = os.Stderr
	if f.LogFormat == "text" || f.LogFormat == "auto" && isatty.IsTerminal(os.Stderr.Fd()) {
		out = zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: "15:04:05.000"}
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}

// version is the module's version where the binary was built from one.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.1.0"
}

// yamlLoader lets kong read pgrelay.yaml: a key is a flag's name, with - or _.
func yamlLoader(r io.Reader) (kong.Resolver, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(text, &values); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for key, value := range values {
			if key == flag.Name || dashed(key) == flag.Name {
				return value, nil
			}
		}
		return nil, nil
	}), nil
}

func dashed(key string) string {
	b := []byte(key)
	for i := range b {
		if b[i] == '_' {
			b[i] = '-'
		}
	}
	return string(b)
}

// gcPercent keeps the heap near what is alive: that is mostly frames and raw messages, which cost the collector
// little to look at. GOGC overrides it.
const gcPercent = 40

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	var cli root
	parser := kong.Must(&cli,
		kong.Name("pgrelay"),
		kong.Description("Live rows from Postgres to React, over WebSockets, filtered by rules that live in the database."),
		kong.Configuration(yamlLoader, "pgrelay.yaml"),
		kong.DefaultEnvars("PGRELAY"),
		kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	command, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once, but not one that a wrapper sends along with the first.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(cli.logger())
	if err := command.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "pgrelay: "+err.Error())
		if remedy := relay.Remedy(err); remedy != "" {
			fmt.Fprintln(os.Stderr, "  remedy: "+remedy)
		}
		os.Exit(1)
	}
}
