<#
.SYNOPSIS
Installs a Plantgate gateway, or central, as a Windows service from this archive. NOT TRIED ON WINDOWS by those who made it: try it on
a machine that does not matter first.

.DESCRIPTION
Puts this version into C:\Program Files\Plantgate\ROLE\versions, settings and data into C:\ProgramData\Plantgate, and makes the service
plantgate-ROLE, which runs as an account of its own (NT SERVICE\plantgate-ROLE). Nothing is downloaded: the service's host is compiled
from PlantgateService.cs by Windows' own compiler. Where another version runs, this one is on trial: it is watched for a minute and taken back
if it is not well; what waits in a gateway's queue can be read by both until then. Central is backed up first, and is not taken back where the
new version changed its database. Check the archive's signature or SHA256SUMS first (docs\installing.md).

.EXAMPLE
powershell -ExecutionPolicy Bypass -File install.ps1 -Role gateway
#>
param(
    [Parameter(Mandatory = $true)] [ValidateSet('gateway', 'central')] [string] $Role,
    [int] $WatchSeconds = 60
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'

function Fail([string] $why) { [Console]::Error.WriteLine("install.ps1: $why"); exit 1 }

$identity = [Security.Principal.WindowsPrincipal] [Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { Fail 'run it as an administrator' }
# Add-Type makes programs in Windows PowerShell alone
if ($PSVersionTable.PSVersion.Major -ne 5) { Fail 'run it with Windows PowerShell 5.1: powershell.exe, not pwsh.exe' }
if (-not [Environment]::Is64BitOperatingSystem) { Fail 'this archive is for 64-bit Windows' }

$here = Split-Path -Parent $MyInvocation.MyCommand.Path
$manifest = Get-Content -Raw (Join-Path $here 'manifest.json') | ConvertFrom-Json
if ($manifest.platform -ne 'windows-x64') { Fail "this archive is for $($manifest.platform)" }
$version = $manifest.version
$top = Join-Path $env:ProgramFiles "Plantgate\$Role"
$tree = Join-Path $top "versions\$version"
$current = Join-Path $top 'current'
$base = Join-Path $env:ProgramData 'Plantgate'
$data = Join-Path $base $Role
$logs = Join-Path $base "logs\$Role"
$settings = Join-Path $base "$Role.yaml"
$backups = Join-Path $base "$Role-before-upgrades"
$trial = Join-Path $top 'trial.json'
$service = "plantgate-$Role"
$account = "NT SERVICE\$service"

function Set-Current([string] $version) {
    # a junction needs no right of its own, unlike a link
    if (Test-Path $current) { [IO.Directory]::Delete($current) }
    New-Item -ItemType Junction -Path $current -Target (Join-Path $top "versions\$version") | Out-Null
}

# whoever else may do nothing there; the folder may be one that somebody made before us in a place that all may write to
function Protect([string] $what, [string[]] $grants) {
    foreach ($arguments in @('/setowner', '*S-1-5-32-544'), @('/reset'), (@('/inheritance:r', '/grant') + $grants)) {
        & icacls.exe $what @arguments | Out-Null
        if ($LASTEXITCODE -ne 0) { Fail "the rights of $what cannot be set: icacls.exe $arguments ended with $LASTEXITCODE" }
    }
}

# UTF-8 without a mark in front, which PowerShell's own commands would write
function Write-Text([string] $file, [string] $text) { [IO.File]::WriteAllText($file, $text) }

function Get-SchemaStep([string] $of) {
    $facts = & (Join-Path $top "versions\$of\bin\plantgate.cmd") upgrade --facts
    if ($LASTEXITCODE -ne 0) { Fail "version $of does not say what its database looks like" }
    return ($facts | ConvertFrom-Json).schemaStep
}

# where its settings have it listen
function Get-Address {
    $name = '127.0.0.1'
    $port = if ($Role -eq 'gateway') { '8430' } else { '8420' }
    $text = Get-Content -Raw $settings
    if ($text -match '(?m)^["'']?host["'']?:\s*["'']?([0-9A-Za-z.:-]+)') { $name = $Matches[1] }
    if ($text -match '(?m)^["'']?port["'']?:\s*["'']?([0-9]+)') { $port = $Matches[1] }
    if ($name -eq '0.0.0.0') { $name = '127.0.0.1' }
    if ($name -eq '::') { $name = '::1' }
    if ($name.Contains(':')) { $name = "[$name]" }
    return "http://${name}:$port"
}

function Test-Well {
    $until = (Get-Date).AddSeconds($WatchSeconds)
    $answered = $false
    while ((Get-Date) -lt $until) {
        Start-Sleep -Seconds 2
        if ((Get-Service $service).Status -ne 'Running') { return $false }
        try {
            $health = Invoke-RestMethod -UseBasicParsing -TimeoutSec 5 "$(Get-Address)/health"
            if ($health.PSObject.Properties['version'] -and $health.version -ne $version) { return $false }
            $answered = $true
        } catch { }
    }
    return $answered
}

$before = $null
if (Test-Path $current) { $before = Split-Path -Leaf ((Get-Item $current).Target | Select-Object -First 1) }
$existing = Get-Service $service -ErrorAction SilentlyContinue

if (-not (Test-Path $tree)) {
    Write-Host "plantgate: $Role $version goes to $tree"
    $part = "$tree.part"
    if (Test-Path $part) { Remove-Item -Recurse -Force $part }
    New-Item -ItemType Directory -Force $part | Out-Null
    Copy-Item -Recurse -Path (Join-Path $here '*') -Destination $part
    Add-Type -TypeDefinition (Get-Content -Raw (Join-Path $here 'PlantgateService.cs')) -ReferencedAssemblies 'System.ServiceProcess' -OutputAssembly (Join-Path $part 'bin\PlantgateService.exe') -OutputType ConsoleApplication
    Rename-Item $part $version
}
& (Join-Path $tree 'bin\plantgate.cmd') --version | Out-Null
if ($LASTEXITCODE -ne 0) { Fail "the program in $tree does not run here" }

$all = '(OI)(CI)F'
$administrators = @("*S-1-5-32-544:$all", "*S-1-5-18:$all")
$isNew = -not (Test-Path $base)
New-Item -ItemType Directory -Force $base | Out-Null
# all may look for the folder, nobody else may put a file there before us
Protect $base ($administrators + '*S-1-5-32-545:(RX)')
if ($isNew -or -not (Test-Path $settings)) {
    # in YAML, a text in single quotes holds backslashes as they are
    Write-Text $settings "# Settings of this machine's $Role. Read at start: Restart-Service $service`r`ndataDir: '$data'`r`n"
}
New-Item -ItemType Directory -Force $data, $logs | Out-Null

$goesBack = $true
if ($existing -and $before -and $before -ne $version -and $Role -eq 'central') {
    New-Item -ItemType Directory -Force $backups | Out-Null
    Protect $backups $administrators
    $backup = Join-Path $backups ("{0}-{1:yyyyMMddHHmmss}.backup" -f $before, (Get-Date))
    & (Join-Path $current 'bin\plantgate.cmd') backup --out $backup
    if ($LASTEXITCODE -ne 0) { Fail "central cannot be backed up: $before runs on" }
    $goesBack = (Get-SchemaStep $before) -eq (Get-SchemaStep $version)
}
if ($existing) { Stop-Service $service }
if ($existing -and $before -and $before -ne $version) {
    # a gateway that reads this leaves its queue such that the version before can open it
    # not as the calendar and the clocks of this country are written
    $begun = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ss.fffZ', [Globalization.CultureInfo]::InvariantCulture)
    $note = @{ version = $version; from = $before; starts = 0; mostStarts = 3; begun = $begun; watchMs = $WatchSeconds * 1000; goesBack = $goesBack; before = @{ online = $false; up = @() } }
    Write-Text $trial (ConvertTo-Json -Compress -Depth 3 $note)
} elseif (Test-Path $trial) {
    # of a trial that a power cut left open: whoever installs the version that is current wants it to stay
    Remove-Item -Force $trial
}
Set-Current $version
$command = '"{0}" "{1}" {2} "{3}" "{4}"' -f (Join-Path $current 'bin\PlantgateService.exe'), $current, $Role, $settings, $logs
if (-not $existing) {
    New-Service -Name $service -BinaryPathName $command -DisplayName "Plantgate $Role" -Description "Plantgate $Role" -StartupType Automatic | Out-Null
    & sc.exe config $service obj= $account | Out-Null
    if ($LASTEXITCODE -ne 0) {
        $code = $LASTEXITCODE
        # left here, it would run with the rights of the whole system after the next try
        & sc.exe delete $service | Out-Null
        Fail "the service cannot be given its account: sc.exe config ended with $code"
    }
    # again after 5, 30 and 60 seconds; a day without a failure begins anew
    & sc.exe failure $service reset= 86400 actions= restart/5000/restart/30000/restart/60000 | Out-Null
    & sc.exe failureflag $service 1 | Out-Null
}
# data, keys and secrets are the service's and the administrators'; the program is nobody's to change
foreach ($folder in $data, $logs) { Protect $folder ($administrators + "${account}:(OI)(CI)M") }
Protect $settings @('*S-1-5-32-544:F', '*S-1-5-18:F', "${account}:R")

$path = [Environment]::GetEnvironmentVariable('Path', 'Machine')
$bin = Join-Path $current 'bin'
if (($path -split ';') -notcontains $bin) { [Environment]::SetEnvironmentVariable('Path', "$path;$bin", 'Machine') }

if ($Role -eq 'gateway' -and -not (Test-Path (Join-Path $data 'gateway.json'))) {
    # what does not run is not on trial
    Remove-Item -Force $trial -ErrorAction SilentlyContinue
    Write-Host "plantgate: next, once, in a new window of an administrator:"
    Write-Host "  plantgate enroll --central URL --token T"
    exit 0
}
Start-Service $service
if (-not $before -or $before -eq $version) { Write-Host "plantgate: $service runs"; exit 0 }
Write-Host "plantgate: $version is on trial after $before, it is watched for $WatchSeconds s"
if (Test-Well) {
    Remove-Item -Force $trial -ErrorAction SilentlyContinue
    Write-Host "plantgate: $version is kept; $before stays in $top\versions"
    exit 0
}
if (-not $goesBack) {
    Fail "$version is not well, and its database is one that $before does not open. What it said is in $logs. By hand: Stop-Service $service; cmd /c rmdir '$current'; New-Item -ItemType Junction -Path '$current' -Target '$top\versions\$before'; Remove-Item '$trial'; plantgate restore '$backup' --replace; Start-Service $service"
}
Stop-Service $service -ErrorAction SilentlyContinue
Set-Current $before
Remove-Item -Force $trial -ErrorAction SilentlyContinue
Start-Service $service
Fail "$version was not well: $before runs again. What it said is in $logs"
