@echo off
"%~dp0node.exe" "%~dp0..\app\packaging\cli\launch.mjs" %*
