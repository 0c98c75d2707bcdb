// The Windows service that runs one role, compiled by install.ps1 with the compiler of the machine that it installs on (C# 5); nothing is downloaded.
// Not tried on Windows. What needs no Windows of it ran under Mono on Linux, with the real program as its child (test/windows/host.ts).
//
// It starts node.exe, writes what that says to a file that is turned at 10 MiB, and stops it by closing its input, which asks it for a clean end; the input
// closes too when this host dies, so that no process is left behind that holds the data folder. When the child ends by itself, the host ends with an
// error, so that Windows starts it again; code 2 says that a restart does not help.
using System;
using System.Diagnostics;
using System.IO;
using System.ServiceProcess;
using System.Text;
using System.Threading;

public class PlantgateService : ServiceBase
{
    const int StopWithinMs = 60000;
    const int RestartDoesNotHelp = 2;

    readonly RoleProcess process;

    PlantgateService(RoleProcess process)
    {
        this.process = process;
        ServiceName = process.ServiceName;
        CanShutdown = true;
    }

    // PlantgateService.exe TREE ROLE SETTINGS LOGS [--foreground]: in the foreground it runs until its own input ends
    static int Main(string[] args)
    {
        bool foreground = args.Length == 5 && args[4] == "--foreground";
        if (args.Length != 4 && !foreground)
        {
            Console.Error.WriteLine("PlantgateService.exe TREE ROLE SETTINGS LOGS [--foreground]");
            return 2;
        }
        RoleProcess process = new RoleProcess(args[0], args[1], args[2], args[3]);
        if (foreground) return InForeground(process);
        Run(new PlantgateService(process));
        return 0;
    }

    static int InForeground(RoleProcess process)
    {
        ManualResetEvent ended = new ManualResetEvent(false);
        int result = 0;
        process.Start(delegate(int code) { result = code; ended.Set(); });
        Thread watching = new Thread(delegate()
        {
            while (Console.In.ReadLine() != null) { }
            process.Stop(StopWithinMs);
            ended.Set();
        });
        watching.IsBackground = true;
        watching.Start();
        ended.WaitOne();
        return result;
    }

    protected override void OnStart(string[] args)
    {
        process.Start(delegate(int code)
        {
            // without having told that it stopped: that is what Windows' recovery looks for
            if (code != RestartDoesNotHelp) Environment.Exit(code == 0 ? 1 : code);
            process.Note("the service stops: a restart does not help against what is said above");
            Stop();
        });
    }

    protected override void OnStop()
    {
        RequestAdditionalTime(StopWithinMs + 5000);
        process.Stop(StopWithinMs);
    }

    protected override void OnShutdown()
    {
        process.Stop(StopWithinMs);
    }
}

// node.exe with one role, and the file for what it says.
public class RoleProcess
{
    const long TurnAtBytes = 10L * 1024 * 1024;
    const int Kept = 5;
    const int DrainWithinMs = 5000;

    readonly string tree;
    readonly string role;
    readonly string settings;
    readonly string logs;
    readonly object writing = new object();
    Process child;
    volatile bool stopping;

    public RoleProcess(string tree, string role, string settings, string logs)
    {
        this.tree = tree;
        this.role = role;
        this.settings = settings;
        this.logs = logs;
    }

    public string ServiceName
    {
        get { return "plantgate-" + role; }
    }

    // endedByItself is called once, unless Stop was called before
    public void Start(Action<int> endedByItself)
    {
        Directory.CreateDirectory(logs);
        ProcessStartInfo info = new ProcessStartInfo(Path.Combine(Path.Combine(tree, "bin"), "node.exe"));
        string launcher = Path.Combine(Path.Combine(Path.Combine(Path.Combine(tree, "app"), "packaging"), "cli"), "launch.mjs");
        info.Arguments = Quote(launcher) + " " + role + " --config " + Quote(settings) + " --until-input-ends";
        info.UseShellExecute = false;
        info.CreateNoWindow = true;
        info.RedirectStandardInput = true;
        info.RedirectStandardOutput = true;
        info.RedirectStandardError = true;
        info.StandardOutputEncoding = new UTF8Encoding(false);
        info.StandardErrorEncoding = new UTF8Encoding(false);
        child = new Process();
        child.StartInfo = info;
        try
        {
            child.Start();
        }
        catch (Exception error)
        {
            Note(info.FileName + " cannot be started: " + error.Message);
            throw;
        }
        Thread[] readers = { Reading(child.StandardOutput), Reading(child.StandardError) };
        Thread waiting = new Thread(delegate()
        {
            child.WaitForExit();
            // what it said last says why it ended
            foreach (Thread reader in readers) reader.Join(DrainWithinMs);
            if (!stopping) endedByItself(child.ExitCode);
        });
        waiting.IsBackground = true;
        waiting.Start();
    }

    public void Stop(int withinMs)
    {
        stopping = true;
        if (child == null || child.HasExited) return;
        try
        {
            child.StandardInput.Close();
        }
        catch (IOException)
        {
            // it has just ended
        }
        if (child.WaitForExit(withinMs)) return;
        // what is acknowledged is on disk whatever happens to the process
        Note("it did not stop within " + withinMs / 1000 + " s, and is ended");
        child.Kill();
        child.WaitForExit(DrainWithinMs);
    }

    Thread Reading(StreamReader from)
    {
        Thread reader = new Thread(delegate()
        {
            for (string line = from.ReadLine(); line != null; line = from.ReadLine()) Note(line);
        });
        reader.IsBackground = true;
        reader.Start();
        return reader;
    }

    public void Note(string line)
    {
        lock (writing)
        {
            try
            {
                string file = Path.Combine(logs, role + ".log");
                FileInfo now = new FileInfo(file);
                if (now.Exists && now.Length > TurnAtBytes) Turn(file);
                File.AppendAllText(file, line + Environment.NewLine, new UTF8Encoding(false));
            }
            catch (IOException)
            {
                // a full disk, or somebody who holds the file, must not stop what the service is for
            }
            catch (UnauthorizedAccessException)
            {
            }
        }
    }

    static void Turn(string file)
    {
        File.Delete(file + "." + Kept);
        for (int at = Kept - 1; at >= 1; at--)
            if (File.Exists(file + "." + at)) File.Move(file + "." + at, file + "." + (at + 1));
        File.Move(file, file + ".1");
    }

    static string Quote(string text)
    {
        return "\"" + text + "\"";
    }
}
