-- retry: executing -> queued, after a pause, or at once and uncounted when a worker drains
--
-- ARGV[2]  key
-- ARGV[3]  token
-- ARGV[4]  status line
-- ARGV[5]  pause, ms
-- ARGV[6]  1 if the attempt counts, 0 if it is handed back
-- Returns  1 if it was written, 0 if the worker holds the job no longer
-- Tells    whoever waits: queued; workers, if it may run at once

local key = ARGV[2]
if not holds(key, ARGV[3]) then return 0 end
if ARGV[6] == '0' then redis.call('HINCRBY', base .. 'job:' .. key, 'attempt', -1) end
run_again(key, ARGV[4], tonumber(ARGV[5]))
deliver()
return 1
