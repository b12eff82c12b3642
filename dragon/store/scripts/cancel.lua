-- cancel: queued or executing -> error
--
-- ARGV[2]… keys
-- Returns  1 for each that is cancelled now, 0 for each that had ended before or is unknown
-- Tells    whoever waits; every worker, for one of them may run it

local answers = {}
for index = 2, #ARGV do answers[#answers + 1] = cancel(ARGV[index]) and 1 or 0 end
deliver()
return answers
