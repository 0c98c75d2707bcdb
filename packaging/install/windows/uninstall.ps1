<#
.SYNOPSIS
Takes away what install.ps1 put here. NOT TRIED ON WINDOWS. Data and settings stay in C:\ProgramData\Plantgate.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File uninstall.ps1 -Role gateway
#>
param([Parameter(Mandatory = $true)] [ValidateSet('gateway', 'central')] [string] $Role)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'

$top = Join-Path $env:ProgramFiles "Plantgate\$Role"
$current = Join-Path $top 'current'
$data = Join-Path $env:ProgramData "Plantgate\$Role"
$service = "plantgate-$Role"
if (Get-Service $service -ErrorAction SilentlyContinue) {
    Stop-Service $service
    & sc.exe delete $service | Out-Null
    if ($LASTEXITCODE -ne 0) { [Console]::Error.WriteLine("uninstall.ps1: sc.exe delete ended with $LASTEXITCODE"); exit 1 }
}
if ($Role -eq 'gateway' -and (Test-Path (Join-Path $data 'queue.sqlite'))) {
    Write-Host 'plantgate: what waits in the queue:'
    & (Join-Path $current 'bin\plantgate.cmd') queue depth --data $data
}
$bin = Join-Path $current 'bin'
$path = [Environment]::GetEnvironmentVariable('Path', 'Machine')
[Environment]::SetEnvironmentVariable('Path', (($path -split ';' | Where-Object { $_ -ne $bin }) -join ';'), 'Machine')
if (Test-Path $current) { [IO.Directory]::Delete($current) }
if (Test-Path $top) { Remove-Item -Recurse -Force $top }
Write-Host "plantgate: $Role is taken away. Its data are kept: $data. Deleted, what has not reached central is lost."
